"""Calls the echo service with grpcio, and prints the results as JSON.

The messages are encoded by hand, so that grpcio is the only package.
"""

import json
import sys

import grpc

from local_channel import open_channel

RETURN, FAIL, WAIT = 0, 1, 3


def ask(text="", answers=0, end=RETURN, code=0):
    """Encodes an `Ask`. All numbers must be below 128, so that each is one byte."""
    encoded = text.encode()
    message = bytes([0x0A, len(encoded)]) + encoded
    return message + bytes([0x10, answers, 0x18, end, 0x20, code])


def channel_of(answer):
    """Returns the second field of an `Answer`, whose fields are short strings."""
    fields = {}
    while answer:
        number, length = answer[0] >> 3, answer[1]
        fields[number] = answer[2 : 2 + length].decode()
        answer = answer[2 + length :]
    return fields.get(2)


def tag_of(call):
    """Returns the tag of a call. A response with only a status has it in the trailing metadata."""
    metadata = list(call.initial_metadata()) + list(call.trailing_metadata())
    return dict(metadata).get("x-canary-channel")


class Echo:
    def __init__(self, address):
        channel = open_channel(address)
        service = "/canary.tests.Echo/"
        self.unary = channel.unary_unary(service + "Unary")
        self.collect = channel.stream_unary(service + "Collect")
        self.expand = channel.unary_stream(service + "Expand")
        self.chat = channel.stream_stream(service + "Chat")


def share(echo, calls):
    """Makes unary calls, and returns the number that each channel served."""
    seen = {"stable": 0, "canary": 0}
    for _ in range(int(calls)):
        answer, call = echo.unary.with_call(ask())
        assert channel_of(answer) == tag_of(call), (answer, tag_of(call))
        seen[tag_of(call)] += 1
    return seen


def kinds(echo):
    """Makes one call of each kind, and returns the tags and the returned metadata."""
    metadata = [("x-ask", "hello")]
    seen = []
    answer, unary = echo.unary.with_call(ask("a"), metadata=metadata)
    seen.append((unary, [answer]))
    answer, collect = echo.collect.with_call(iter([ask("a"), ask("b")]), metadata=metadata)
    seen.append((collect, [answer]))
    expand = echo.expand(ask("a", answers=3), metadata=metadata)
    seen.append((expand, list(expand)))
    chat = echo.chat(iter([ask("a", answers=1), ask("b", answers=1)]), metadata=metadata)
    seen.append((chat, list(chat)))
    return [
        {
            "tag": tag_of(call),
            "channels": [channel_of(answer) for answer in answers],
            "metadata": dict(call.initial_metadata())["x-answer"],
        }
        for call, answers in seen
    ]


def failures(echo, code):
    """Returns the codes of a failing unary call and a failing stream."""
    unary = code_of(lambda: echo.unary(ask(end=FAIL, code=int(code))))
    expand = code_of(lambda: list(echo.expand(ask(answers=2, end=FAIL, code=int(code)))))
    return [unary, expand]


def deadline(echo, seconds):
    """Returns the codes of a unary call and a concurrent stream that exceed their deadline."""
    timeout = float(seconds)
    unary = echo.unary.future(ask(end=WAIT), timeout=timeout)
    expand = echo.expand(ask(answers=1, end=WAIT), timeout=timeout)
    return [code_of(unary.result), code_of(lambda: list(expand))]


def cancel(echo):
    """Cancels a stream after its first answer."""
    stream = echo.expand(ask(answers=1, end=WAIT))
    first = next(stream)
    stream.cancel()
    return channel_of(first)


def code_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


if __name__ == "__main__":
    address, command, *arguments = sys.argv[1:]
    print(json.dumps(globals()[command](Echo(address), *arguments)))
