"""The Python client of the Runtime API.

Starts fast: of the standard library it needs `os` and C modules only. What user code asks for is imported then.
"""
import os
import sys
from time import time

import _socket

API = "/2018-06-01/runtime/"


class Connection:
    """One keep-alive connection to the Runtime API."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.host = address
        self.socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        self.socket.connect((host, int(port)))
        self.socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self.rest = b""

    def next(self):
        """Waits for an event. Returns its headers, names in lower case, and its payload."""
        status, headers, body = self.ask(b"GET", "invocation/next", b"", "")
        if status != 200:
            raise SystemExit(f"next was answered with {status}")
        return headers, body

    def post(self, path, body, headers=""):
        """Posts a result or an error."""
        headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}"
        return self.ask(b"POST", path, body, headers)

    def ask(self, method, path, body, headers):
        head = f" {API}{path} HTTP/1.1\r\nHost: {self.host}\r\n{headers}\r\n"
        self.send(method + head.encode("latin-1", "replace") + body)
        data = self.rest
        end = data.find(b"\r\n\r\n")
        while end < 0:
            data += self.receive(65536)
            end = data.find(b"\r\n\r\n")
        lines = data[:end].decode("latin-1").split("\r\n")
        answer = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            answer[name.lower()] = value.strip()
        size = int(answer.get("content-length", 0))
        body = data[end + 4 :]
        if len(body) < size:
            parts = [body]
            left = size - len(body)
            while left > 0:
                parts.append(self.receive(min(left, 1 << 20)))
                left -= len(parts[-1])
            body = b"".join(parts)
        self.rest = body[size:]
        return int(lines[0].split(" ", 2)[1]), answer, body[:size]

    def send(self, data):
        # A signal handler may have been run in between.
        self.socket.sendall(data)

    def receive(self, size):
        data = self.socket.recv(size)
        if not data:
            raise SystemExit("the Runtime API closed the connection")
        return data


class Failure(Exception):
    """An error of the runtime's own, with Lambda's name for it."""

    def __init__(self, kind, message, trace=()):
        Exception.__init__(self, message)
        self.kind = kind
        self.message = message
        self.trace = list(trace)


class Scanner:
    """What the C scanner of `json` asks of a decoder; importing `json` would take a third of the start."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__
    memo = {}


def not_serializable(value):
    decimal = sys.modules.get("decimal")
    if decimal is not None and isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(f"Object of type {value.__class__.__name__} is not JSON serializable")


def json_functions():
    """`loads` and `dumps` that give what those of `json` give."""
    ascii_only = sys.version_info < (3, 12)  # as AWS' runtimes
    try:
        import _json

        scan = _json.make_scanner(Scanner)
        string = _json.encode_basestring_ascii if ascii_only else _json.encode_basestring

        def loads(text):
            text = text.strip(" \t\n\r")
            try:
                value, end = scan(text, 0)
                if end == len(text):
                    return value
            except (StopIteration, ValueError, SystemError):
                # Without `json` the scanner cannot name its error.
                pass
            import json

            return json.loads(text)

        def dumps(value):
            # A fresh set of markers each time: one left behind by an error would look like a circle.
            encode = _json.make_encoder({}, not_serializable, string, None, ": ", ", ", False, False, True)
            return "".join(encode(value, 0))

        if loads('[{"a": 1.5}]') != [{"a": 1.5}] or dumps({"a": ["\n", 1.5, None]}) != '{"a": ["\\n", 1.5, null]}':
            raise ImportError("another _json than the one known")
    except Exception:
        import json

        loads = json.loads

        def dumps(value):
            return json.dumps(value, default=not_serializable, ensure_ascii=ascii_only)

    return loads, dumps


loads, dumps = json_functions()


class Client:
    """The mobile client's part of a client context."""

    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class ClientContext:
    """A client context: `client`, `custom` and `env`."""

    __slots__ = ("custom", "env", "client")


class Identity:
    """The Cognito identity; there is none here."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self, given):
        self.cognito_identity_id = given.get("cognitoIdentityId")
        self.cognito_identity_pool_id = given.get("cognitoIdentityPoolId")


class LambdaContext:
    """What a handler gets as its second argument."""

    def __init__(self, headers):
        environ = os.environ
        self.aws_request_id = headers.get("lambda-runtime-aws-request-id", "")
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        self.client_context = client_context(headers.get("lambda-runtime-client-context"))
        self.identity = Identity(parsed(headers.get("lambda-runtime-cognito-identity"), {}))
        self._deadline_ms = int(headers.get("lambda-runtime-deadline-ms", 0))

    def get_remaining_time_in_millis(self):
        return max(self._deadline_ms - int(time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        fields = ",".join(f"{name}={value}" for name, value in vars(self).items() if name[0] != "_")
        return f"LambdaContext([{fields}])"


def parsed(text, default):
    if not text:
        return default
    try:
        return loads(text)
    except ValueError as error:
        raise Failure("LambdaValidationError", f"Unable to parse Client Context: {error}") from None


def client_context(text):
    given = parsed(text, None)
    if given is None:
        return None
    context = ClientContext()
    context.custom = given.get("custom")
    context.env = given.get("env")
    client = given.get("client")
    if client is None:
        context.client = None
    else:
        context.client = Client()
        for name in Client.__slots__:
            setattr(context.client, name, client.get(name))
    return context


request_id = ""


class LoggingHook:
    """Gives the root logger Lambda's handler when user code imports `logging`."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(LoggingHook)
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            set_up_logging(module)

        spec.loader.exec_module = exec_module
        return spec


def set_up_logging(logging):
    class Handler(logging.Handler):
        def emit(self, record):
            sys.stdout.write(self.format(record))

    class Filter(logging.Filter):
        def filter(self, record):
            record.aws_request_id = request_id
            return True

    from time import gmtime

    handler = Handler()
    if as_json():
        handler.setFormatter(json_formatter(logging))
        level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "INFO")
        logging.root.setLevel({"TRACE": "DEBUG"}.get(level, level))
    else:
        handler.setFormatter(
            logging.Formatter(
                "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"
            )
        )
    handler.formatter.converter = gmtime
    handler.addFilter(Filter())
    logging.root.addHandler(handler)


def as_json():
    return os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"


def json_formatter(logging):
    """Writes a record as one line of JSON, with what user code has put into it besides."""
    import json

    usual = set(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"aws_request_id", "message", "asctime"}

    class Formatter(logging.Formatter):
        def format(self, record):
            is_whole = isinstance(record.msg, dict) and not record.args
            line = {
                "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
                "level": record.levelname,
                "message": record.msg if is_whole else record.getMessage(),
                "logger": record.name,
            }
            kind, error, trace = record.exc_info or (None, None, None)
            if kind is not None:
                import traceback

                line["stackTrace"] = traceback.format_tb(trace)
                line["errorType"], line["errorMessage"] = kind.__name__, text_of(error)
                line["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
            line["requestId"] = record.aws_request_id
            line.update((name, value) for name, value in vars(record).items() if name not in usual and name not in line)
            return json.dumps(line, ensure_ascii=False, default=str) + "\n"

    return Formatter()


def load(handler):
    """The handler that `module.function` names; slashes lead into directories."""
    module_name, dot, name = handler.rpartition(".")
    if not dot:
        raise Failure(
            "Runtime.MalformedHandlerName", f"Bad handler '{handler}': not enough values to unpack (expected 2, got 1)"
        )
    module_name = module_name.replace("/", ".")
    if module_name.partition(".")[0] in sys.builtin_module_names:
        raise Failure(
            "Runtime.BuiltInModuleConflict", f"Cannot use built-in module {module_name} as a handler module"
        )
    try:
        __import__(module_name)
    except ImportError as error:
        raise Failure(
            "Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}", stack(error)
        ) from error
    except SyntaxError as error:
        line = f'  File "{error.filename}" Line {error.lineno}\n    {(error.text or "").strip()}'
        raise Failure(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}", [line]
        ) from error
    try:
        return getattr(sys.modules[module_name], name)
    except AttributeError:
        raise Failure("Runtime.HandlerNotFound", f"Handler '{name}' missing on module '{module_name}'") from None


def stack(error):
    """The frames of user code, as `traceback` writes them."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    own = (describe.__code__.co_filename, "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")
    skip = 0
    while skip < len(frames) and frames[skip].filename in own:
        skip += 1
    # Only the way into user code is ours; the same files further down are its own doing.
    return traceback.format_list(frames[skip:])


def describe(error, request_id):
    """Lambda's error JSON and the error's name; writes both to the log."""
    if isinstance(error, Failure):
        kind, message, trace = error.kind, error.message, error.trace
    else:
        kind, message, trace = type(error).__name__, text_of(error), stack(error)
    given = {"errorMessage": message, "errorType": kind}
    if request_id is not None:
        given["requestId"] = request_id
    given["stackTrace"] = trace
    if as_json():
        from time import gmtime, strftime

        log = dumps({"timestamp": strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()), "level": "ERROR"} | given) + "\n"
    else:
        log = f"[ERROR] {kind}: {message}\n"
        if trace:
            log += "Traceback (most recent call last):\n" + "".join(line.rstrip("\n") + "\n" for line in trace)
    sys.stdout.write(log)
    return dumps(given).encode("utf-8", "backslashreplace"), kind


def text_of(error):
    try:
        return str(error)
    except Exception:
        return "<the error's text cannot be had>"


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            # The function closed or replaced it.
            pass


def post_error(connection, path, error, request_id):
    body, kind = describe(error, request_id)
    flush()
    kind = "".join(letter for letter in kind if " " <= letter <= "~")
    connection.post(path, body, f"Lambda-Runtime-Function-Error-Type: {kind}\r\n")


def run(handler, headers, payload):
    """One invocation. Returns the result as JSON."""
    try:
        event = loads(payload.decode("utf-8")) if payload else {}
    except ValueError as error:
        raise Failure("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from None
    result = handler(event, LambdaContext(headers))
    try:
        return dumps(result).encode("utf-8")
    except Exception as error:
        raise Failure("Runtime.MarshalError", f"Unable to marshal response: {error}") from None


def main():
    global request_id
    # Whole lines reach the log at once; what has no line end is flushed with the response.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    environ = os.environ
    root = environ.get("LAMBDA_TASK_ROOT", "/var/task")
    layer = f"/opt/python/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    sys.path[:1] = [root, layer, "/opt/python"]
    sys.meta_path.insert(0, LoggingHook)
    connection = Connection(environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        handler = load(environ.get("_HANDLER", ""))
    except Exception as error:
        post_error(connection, "init/error", error, None)
        flush()
        os._exit(1)
    while True:
        headers, payload = connection.next()
        request_id = headers.get("lambda-runtime-aws-request-id", "")
        trace_id = headers.get("lambda-runtime-trace-id")
        if trace_id:
            environ["_X_AMZN_TRACE_ID"] = trace_id
        try:
            result = run(handler, headers, payload)
        except Exception as error:
            post_error(connection, f"invocation/{request_id}/error", error, request_id)
        else:
            flush()
            connection.post(f"invocation/{request_id}/response", result)


if __name__ == "__main__":
    main()
