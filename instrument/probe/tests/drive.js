'use strict';
// The least that runs a Node.js handler: next, handle, respond.

const http = require('http');
const { handler } = require(`${process.env.LAMBDA_TASK_ROOT}/probe.js`);

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');

function exchange(method, path, body) {
  return new Promise((resolve, reject) => {
    const options = { agent, host, port, method, path: `/2018-06-01/runtime/invocation/${path}` };
    const request = http.request(options, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve([response, Buffer.concat(parts).toString()]));
    });
    request.on('error', reject);
    request.end(body);
  });
}

(async () => {
  for (;;) {
    const [response, event] = await exchange('GET', 'next');
    const id = response.headers['lambda-runtime-aws-request-id'];
    try {
      await exchange('POST', `${id}/response`, JSON.stringify(await handler(JSON.parse(event), {})));
    } catch (error) {
      const failed = { errorMessage: error.message, errorType: error.name };
      await exchange('POST', `${id}/error`, JSON.stringify(failed));
    }
  }
})().catch(() => process.exit(0));
