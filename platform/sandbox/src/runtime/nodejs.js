// The Node.js client of the Runtime API.
//
// One connection, written by hand over `net`: loading `http` costs more than all of this. It does not keep the process
// alive while a handler runs, so that an empty event loop can be told from a busy one.
"use strict";

const net = require("net");
const path = require("path");
const util = require("util");
const { pathToFileURL } = require("url");

const API = "/2018-06-01/runtime/";
const environment = process.env;
let requestId = "";

class Connection {
  constructor(address) {
    const colon = address.lastIndexOf(":");
    this.host = address;
    this.data = Buffer.alloc(0);
    this.waiting = null;
    this.streaming = false;
    this.ended = null;
    const [host, port] = [address.slice(0, colon), Number(address.slice(colon + 1))];
    this.socket = net.connect({ host, port, noDelay: true });
    this.socket.on("data", (data) => {
      this.data = this.data.length ? Buffer.concat([this.data, data]) : data;
      this.read();
    });
    const end = (error) => {
      if (error) process.stderr.write(`the Runtime API closed the connection: ${error.message}\n`);
      process.exit(1);
    };
    this.socket.on("error", end);
    this.socket.on("close", () => end());
  }

  next() {
    return this.ask("GET", "invocation/next", "", "");
  }

  post(path, body, headers = "") {
    const length = Buffer.byteLength(body);
    return this.ask("POST", path, `Content-Type: application/json\r\nContent-Length: ${length}\r\n${headers}`, body);
  }

  ask(method, path, headers, body) {
    this.socket.ref();
    this.socket.cork();
    this.socket.write(`${method} ${API}${path} HTTP/1.1\r\nHost: ${this.host}\r\n${headers}\r\n`, "latin1");
    if (body.length) this.socket.write(body);
    this.socket.uncork();
    return this.answer();
  }

  // The head of a response that goes out in chunks.
  begin(path, type) {
    this.streaming = true;
    this.socket.write(
      `POST ${API}${path} HTTP/1.1\r\nHost: ${this.host}\r\nContent-Type: ${type}\r\n` +
        "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n" +
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n",
      "latin1",
    );
  }

  // `done` is called when the system has taken it: not before the platform has room.
  chunk(data, done) {
    if (!data.length) return void done();
    this.socket.cork();
    this.socket.write(`${data.length.toString(16)}\r\n`, "latin1");
    this.socket.write(data);
    this.socket.write("\r\n", "latin1", done);
    this.socket.uncork();
  }

  // The end of such a response, with these trailers.
  end(trailers) {
    this.streaming = false;
    this.socket.ref();
    this.socket.write(`0\r\n${trailers}\r\n`, "latin1");
    this.ended = this.answer();
    return this.ended;
  }

  answer() {
    return new Promise((resolve) => {
      this.waiting = { resolve, head: null, parts: [], left: 0 };
      this.read();
    });
  }

  read() {
    const waiting = this.waiting;
    if (!waiting) return;
    if (!waiting.head) {
      const end = this.data.indexOf("\r\n\r\n");
      if (end < 0) return;
      const lines = this.data.toString("latin1", 0, end).split("\r\n");
      const headers = Object.create(null);
      for (const line of lines.slice(1)) {
        const colon = line.indexOf(":");
        headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
      }
      waiting.head = { status: Number(lines[0].split(" ")[1]), headers };
      waiting.left = Number(headers["content-length"] || 0);
      this.data = this.data.subarray(end + 4);
    }
    if (this.data.length) {
      const part = this.data.subarray(0, waiting.left);
      waiting.parts.push(part);
      waiting.left -= part.length;
      this.data = this.data.subarray(part.length);
    }
    if (waiting.left > 0) return;
    this.waiting = null;
    this.socket.unref();
    waiting.resolve({ ...waiting.head, body: Buffer.concat(waiting.parts) });
  }
}

class Failure extends Error {
  constructor(kind, message, cause) {
    super(message);
    this.name = kind;
    if (cause && cause.stack) this.stack = cause.stack;
  }
}

const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const IS_JSON = environment.AWS_LAMBDA_LOG_FORMAT === "JSON";

// Lines of the log as AWS writes them, those of the least level and above where they are JSON.
function patchConsole() {
  const least = IS_JSON ? LEVELS.indexOf(environment.AWS_LAMBDA_LOG_LEVEL) : 0;
  const methods = { trace: "TRACE", debug: "DEBUG", info: "INFO", log: "INFO", warn: "WARN", error: "ERROR", fatal: "FATAL" };
  for (const [name, level] of Object.entries(methods)) {
    const isWritten = LEVELS.indexOf(level) >= least;
    console[name] = (...values) => isWritten && (IS_JSON ? writeJson(level, values) : write(level, util.format(...values)));
  }
}

// Time, request id, level, message.
function write(level, text) {
  process.stdout.write(`${new Date().toISOString()}\t${requestId}\t${level}\t${text.replace(/\n/g, "\r")}\n`);
}

// The same as an object. A value that stands alone is the message as it is; of an error among several its parts are told too.
function writeJson(level, values) {
  const line = { timestamp: new Date().toISOString(), level, requestId };
  const shown = (error) => {
    const { trace, ...given } = errorOf(error);
    return { ...given, stackTrace: trace };
  };
  const isError = (value) => value instanceof Error || util.types.isNativeError(value);
  const isAlone = values.length === 1 && typeof values[0] === "object" && values[0] !== null;
  line.message = isAlone ? (isError(values[0]) ? shown(values[0]) : values[0]) : util.format(...values);
  if (!isAlone) Object.assign(line, values.some(isError) ? shown(values.find(isError)) : {});
  const text = safely(() => JSON.stringify(line)) ?? JSON.stringify({ ...line, message: util.format(...values) });
  process.stdout.write(`${text}\n`);
}

// What the platform is told of an error, in the log.
function writeError(level, given) {
  const { trace, ...rest } = given;
  if (IS_JSON) return writeJson("ERROR", [{ ...rest, stackTrace: trace }]);
  write("ERROR", `${level} \t${JSON.stringify({ ...given, stack: trace, trace: undefined })}`);
}

function errorOf(error) {
  if (error instanceof Error || util.types.isNativeError(error)) {
    const kind = error.name || "Error";
    return { errorType: kind, errorMessage: error.message, trace: String(error.stack || "").split("\n") };
  }
  const text = typeof error === "string" ? error : safely(() => JSON.stringify(error)) ?? String(error);
  return { errorType: error === null ? "null" : typeof error, errorMessage: text, trace: [] };
}

function safely(function_) {
  try {
    return function_();
  } catch {
    return undefined;
  }
}

function postError(connection, path, level, error) {
  const given = errorOf(error);
  writeError(level, given);
  const kind = String(given.errorType).replace(/[^ -~]/g, "");
  return connection.post(path, JSON.stringify(given), `Lambda-Runtime-Function-Error-Type: ${kind}\r\n`);
}

// The handler that `path/module.function` names, of a CommonJS or an ES module.
async function load(root, handler) {
  if (handler.includes("..")) {
    const rule = "Use absolute paths when specifying root directories in handler names.";
    throw new Failure("Runtime.MalformedHandlerName", `'${handler}' is not a valid handler name. ${rule}`);
  }
  const base = path.basename(handler);
  const match = /^([^.]*)\.(.+)$/.exec(base);
  if (!match) throw new Failure("Runtime.MalformedHandlerName", "Bad handler");
  const directory = handler.slice(0, handler.length - base.length);
  const file = path.resolve(root, directory, match[1]);
  let found;
  try {
    found = await loadModule(file, match[1], root);
  } catch (error) {
    if (error instanceof SyntaxError) throw new Failure("Runtime.UserCodeSyntaxError", String(error), error);
    const missing = ["MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND"].includes(error && error.code);
    if (missing) throw new Failure("Runtime.ImportModuleError", String(error), error);
    throw error;
  }
  for (const part of match[2].split(".")) found = found === undefined || found === null ? undefined : found[part];
  if (found === undefined) throw new Failure("Runtime.HandlerNotFound", `${handler} is undefined or not exported`);
  if (typeof found !== "function") throw new Failure("Runtime.HandlerNotFound", `${handler} is not a function`);
  return found;
}

async function loadModule(file, name, root) {
  const fs = require("fs");
  for (const ending of ["", ".js", ".cjs"]) {
    if (!fs.existsSync(file + ending) || fs.statSync(file + ending).isDirectory()) continue;
    try {
      return require(file + ending);
    } catch (error) {
      const modules = ["ERR_REQUIRE_ESM", "ERR_REQUIRE_ASYNC_MODULE"];
      const syntax = error instanceof SyntaxError && /\b(import|export|await)\b/.test(error.message);
      if (!modules.includes(error && error.code) && !(syntax && isModule(file, root))) throw error;
      return import(pathToFileURL(file + ending).href);
    }
  }
  if (fs.existsSync(file + ".mjs")) return import(pathToFileURL(file + ".mjs").href);
  return require(require.resolve(file.startsWith(root) ? file : name, { paths: [root, path.join(root, "..")] }));
}

// Whether the nearest package.json says that `.js` files are ES modules.
function isModule(file, root) {
  for (let directory = path.dirname(file); directory.startsWith(root); directory = path.dirname(directory)) {
    const given = safely(() => JSON.parse(require("fs").readFileSync(path.join(directory, "package.json"), "utf8")));
    if (given) return given.type === "module";
    if (directory === path.dirname(directory)) break;
  }
  return false;
}

const STREAMS = Symbol("response stream");
const PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response";

// `awslambda.streamifyResponse`: what the handler writes goes out as it is written.
function provideStreaming() {
  globalThis.awslambda = {
    streamifyResponse: (handler) => Object.assign((...values) => handler(...values), { [STREAMS]: true }),
    HttpResponseStream: class {
      // Status, headers and cookies for who came by a function URL, before the first byte of the body.
      static from(stream, metadata) {
        stream.setContentType(PRELUDE_TYPE);
        stream[PRELUDE] = JSON.stringify(metadata ?? {}) + "\0".repeat(8);
        return stream;
      }
    },
  };
}

const PRELUDE = Symbol("prelude");
const FAIL = Symbol("fail");

// A stream whose chunks are those of the response; a write calls back when the socket took it. `finished` resolves after
// the platform has taken the end.
function responseStream(connection, path) {
  const { Writable } = require("stream");
  let type = "application/octet-stream";
  let begun = false;
  let failure = null;
  const begin = () => {
    if (begun) return;
    begun = true;
    connection.begin(path, type);
    if (stream[PRELUDE]) connection.chunk(Buffer.from(stream[PRELUDE]), () => {});
  };
  const stream = new Writable({
    write(data, encoding, done) {
      begin();
      connection.chunk(typeof data === "string" ? Buffer.from(data, encoding) : data, done);
    },
    final(done) {
      begin();
      const ended = failure ? postStreamError(connection, "Invoke Error", failure.error) : connection.end("");
      ended.then(() => done(), done);
    },
  });
  stream.setContentType = (given) => {
    if (begun) throw new Failure("InvalidStreamingOperation", "The content type must be set before the first write.");
    type = String(given).replace(/[^ -~]/g, "");
  };
  // Ends it with an error, behind what was written. False where nothing was.
  stream[FAIL] = (error) => {
    if (!begun) return false;
    failure = { error };
    stream.end();
    return true;
  };
  return stream;
}

// Runs a streaming handler until its stream has ended. Rejects where it failed before anything went out; a later error
// goes out behind what was written.
async function runStreaming(handler, event, context, connection) {
  connection.ended = null;
  const stream = responseStream(connection, `invocation/${requestId}/response`);
  await new Promise((resolve, reject) => {
    whenIdle = () => stream.end();
    stream.on("error", reject);
    stream.on("finish", resolve);
    // Once the stream was ended, an error changes nothing any more.
    const failed = (error) => stream.writableEnded || stream[FAIL](error) || reject(error);
    Promise.resolve(handler(event, stream, context)).catch(failed);
  }).catch((error) => {
    stream.on("error", () => {});
    stream.destroy();
    // The response is complete: what comes after it changes nothing.
    if (connection.ended) return connection.ended;
    if (!connection.streaming) throw error;
    return postStreamError(connection, "Invoke Error", error);
  });
}

function postStreamError(connection, level, error) {
  const given = errorOf(error);
  writeError(level, given);
  const kind = String(given.errorType).replace(/[^ -~]/g, "");
  const body = Buffer.from(JSON.stringify(given)).toString("base64");
  return connection.end(
    `Lambda-Runtime-Function-Error-Type: ${kind}\r\nLambda-Runtime-Function-Error-Body: ${body}\r\n`,
  );
}

function contextOf(headers) {
  const json = (name) => (headers[name] ? safely(() => JSON.parse(headers[name])) : undefined);
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: environment.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: environment.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: json("lambda-runtime-client-context"),
    identity: json("lambda-runtime-cognito-identity"),
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: requestId,
    getRemainingTimeInMillis: () => Math.max(deadline - Date.now(), 0),
  };
}

// What to do when the event loop is empty: a handler that neither answers nor waits for anything answers null.
let whenIdle = null;
process.on("beforeExit", () => {
  const idle = whenIdle;
  whenIdle = null;
  if (idle) idle();
});

// Runs one invocation. Resolves with its result, rejects with its error.
function run(handler, event, context) {
  return new Promise((resolve, reject) => {
    whenIdle = () => resolve(null);
    const settle = (error, value) => (error === undefined || error === null ? resolve(value) : reject(error));
    const callback = (error, value) => {
      if (!context.callbackWaitsForEmptyEventLoop) return settle(error, value);
      whenIdle = () => settle(error, value);
    };
    context.done = callback;
    context.succeed = (value) => settle(null, value);
    context.fail = (error) => settle(error ?? "handled", null);
    const result = handler(event, context, callback);
    if (result && typeof result.then === "function") result.then(resolve, reject);
  });
}

function bodyOf(result) {
  try {
    return JSON.stringify(result === undefined ? null : result) ?? "null";
  } catch (error) {
    throw new Failure("Runtime.MarshalError", `Unable to marshal response: ${error.message}`, error);
  }
}

async function main() {
  patchConsole();
  provideStreaming();
  const connection = new Connection(environment.AWS_LAMBDA_RUNTIME_API);
  let place = "init/error";
  const die = (kind, code) => (error) => {
    const given = kind && !(error instanceof Error && error.name.startsWith("Runtime.")) ? named(kind, error) : error;
    const level = kind ? "Unhandled Promise Rejection" : "Uncaught Exception";
    const told = connection.streaming
      ? postStreamError(connection, level, given)
      : postError(connection, place, level, given);
    told.then(() => process.exit(code));
  };
  process.on("uncaughtException", die(null, 129));
  process.on("unhandledRejection", die("Runtime.UnhandledPromiseRejection", 128));
  let handler;
  try {
    handler = await load(environment.LAMBDA_TASK_ROOT || "/var/task", environment._HANDLER || "");
  } catch (error) {
    await postError(connection, place, "Uncaught Exception", error);
    process.exit(1);
  }
  for (;;) {
    const { status, headers, body } = await connection.next();
    if (status !== 200) {
      process.stderr.write(`next was answered with ${status}\n`);
      process.exit(1);
    }
    requestId = headers["lambda-runtime-aws-request-id"];
    place = `invocation/${requestId}/error`;
    if (headers["lambda-runtime-trace-id"]) environment._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
    let answer;
    try {
      const event = body.length ? JSON.parse(body.toString("utf8")) : {};
      if (handler[STREAMS]) {
        await runStreaming(handler, event, contextOf(headers), connection);
        whenIdle = null;
        continue;
      }
      answer = bodyOf(await run(handler, event, contextOf(headers)));
    } catch (error) {
      whenIdle = null;
      await postError(connection, place, "Invoke Error", error);
      continue;
    }
    whenIdle = null;
    await connection.post(`invocation/${requestId}/response`, answer);
  }
}

function named(kind, reason) {
  return new Failure(kind, reason instanceof Error ? String(reason) : util.inspect(reason), reason);
}

main();
