"""Updates under load: once an update call has returned, no invocation that is sent later runs what was before."""

import json
import textwrap
import threading
import time

from conftest import ROLE, zipped

INVOKERS = 50
UPDATES = 20
KINDS = ("code", "memory", "environment", "role")


def code(mark):
    """A function that says what it is made of, and when its instance began."""
    return textwrap.dedent(
        f"""
        import os, time
        BORN = time.time()
        def handler(event, context):
            memory = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
            return {{"code": {mark}, "memory": memory, "environment": os.environ["MARK"], "born": BORN}}
        """
    )


class Invokers:
    """Threads that invoke one function one after the other until they are told to end."""

    def __init__(self, client, name):
        self.client, self.name = client, name
        self.seen, self.errors = [], []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(INVOKERS)]

    def run(self):
        while not self.over.is_set():
            sent = time.time()
            try:
                answer = self.client.invoke(FunctionName=self.name)
                said = json.loads(answer["Payload"].read())
            except Exception as error:
                self.errors.append(repr(error))
                return
            if "FunctionError" in answer:
                self.errors.append(said)
            else:
                self.seen.append((sent, time.time(), said))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def update(client, name, kind, number):
    """Changes one thing to what it was not before; returns what that is now."""
    if kind == "code":
        client.update_function_code(FunctionName=name, ZipFile=zipped({"app.py": code(number)}))
        return {"code": number}
    if kind == "memory":
        client.update_function_configuration(FunctionName=name, MemorySize=128 + number)
        return {"memory": 128 + number}
    if kind == "environment":
        variables = {"MARK": str(number)}
        client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        return {"environment": str(number)}
    # No function sees its role: that its instances are new ones must do.
    client.update_function_configuration(FunctionName=name, Role=f"{ROLE}-{number}")
    return {}


# While fifty clients invoke, code, memory, environment and role change twenty times in turn. Whatever is sent after a call
# has returned runs that state or a later one, on an instance that was not there before the call.
def test_updates_are_atomic(platform):
    name = "atomic"
    platform.deploy(name, code(0), MemorySize=128, Environment={"Variables": {"MARK": "0"}})
    states = [(0.0, 0.0, {"code": 0, "memory": 128, "environment": "0"})]
    with Invokers(platform.client, name) as invokers:
        for number in range(1, UPDATES + 1):
            # Some run what was before, so that an update meets them.
            before = len(invokers.seen)
            while len(invokers.seen) < before + INVOKERS and not invokers.errors:
                time.sleep(0.01)
            began = time.time()
            changed = update(platform.client, name, KINDS[number % len(KINDS)], number)
            states.append((began, time.time(), {**states[-1][2], **changed}))
    assert not invokers.errors, invokers.errors[:3]
    assert len(states) == UPDATES + 1 and len(invokers.seen) > UPDATES * INVOKERS
    outdated = 0
    for sent, received, said in invokers.seen:
        current = max(k for k, (_, returned, _) in enumerate(states) if returned <= sent)
        allowed = [state for began, _, state in states[current:] if began <= received]
        made_of = {key: said[key] for key in ("code", "memory", "environment")}
        if made_of not in allowed or said["born"] < states[current][0]:
            outdated += 1
    assert outdated == 0, f"{outdated} of {len(invokers.seen)} ran what was before"
