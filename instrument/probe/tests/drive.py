"""The least that runs a Python handler: next, handle, respond."""

import http.client
import json
import os

from probe import handler

connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
ROOT = "/2018-06-01/runtime/invocation/"


def exchange(method, path, body=None):
    connection.request(method, ROOT + path, body)
    response = connection.getresponse()
    return response, response.read()


while True:
    response, event = exchange("GET", "next")
    request = response.getheader("lambda-runtime-aws-request-id")
    try:
        exchange("POST", request + "/response", json.dumps(handler(json.loads(event), None)))
    except Exception as error:
        failed = {"errorMessage": str(error), "errorType": type(error).__name__}
        exchange("POST", request + "/error", json.dumps(failed))
