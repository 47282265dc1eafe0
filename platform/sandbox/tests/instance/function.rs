//! Functions written in a few lines of Python, over a client of the Runtime API as plain as can be.

use std::process::Command;

/// A Python program with `connect()`, `ask(connection)`, `next(connection)`, `post(connection, path, body)` and
/// `loop(handler)` at hand.
pub fn function(code: &str) -> Command {
    let prelude = "
import os, socket
address, port = os.environ['AWS_LAMBDA_RUNTIME_API'].split(':')
def connect():
    return socket.create_connection((address, int(port)))
def ask(connection):
    connection.sendall(b'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\n\\r\\n')
def answer(connection):
    data = b''
    while b'\\r\\n\\r\\n' not in data:
        more = connection.recv(65536)
        if not more: os._exit(99)
        data += more
    head, body = data.split(b'\\r\\n\\r\\n', 1)
    headers = dict(line.split(': ', 1) for line in head.decode().split('\\r\\n')[1:])
    while len(body) < int(headers['Content-Length']):
        body += connection.recv(1 << 20)
    return headers, body
def next(connection):
    ask(connection)
    headers, body = answer(connection)
    return headers['Lambda-Runtime-Aws-Request-Id'], body
def post(connection, path, body):
    connection.sendall(f'POST /2018-06-01/runtime/{path} HTTP/1.1\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n'.encode() + body)
    return answer(connection)
def loop(handler):
    connection = connect()
    while True:
        request_id, event = next(connection)
        post(connection, 'invocation/' + request_id + '/response', handler(event))
";
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-S", "-E", "-c", &format!("{prelude}{code}\n")]);
    command
}
