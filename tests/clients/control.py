"""Controls a canary with grpcio, which learns the service by reflection, and prints the results as JSON."""

import json
import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from local_channel import open_channel


class Service:
    """A service whose methods have the names and messages that the server describes."""

    def __init__(self, channel, pool, name, token=None):
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        for method in pool.FindServiceByName(name).methods:
            setattr(self, method.name, self.method(channel, name, method))

    def method(self, channel, service, method):
        request, response = map(GetMessageClass, (method.input_type, method.output_type))
        kind = channel.unary_stream if method.server_streaming else channel.unary_unary
        call = kind(
            f"/{service}/{method.name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return lambda **fields: call(request(**fields), metadata=self.metadata)


class Server:
    def __init__(self, address, *options):
        self.channel = open_channel(address, *options)
        self.reflection = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = DescriptorPool(self.reflection)

    def control(self, token=None):
        return Service(self.channel, self.pool, "canary.v1.Control", token)

    def number(self, name):
        """Returns the number of a command."""
        commands = self.pool.FindEnumTypeByName("canary.v1.CommandName")
        return commands.values_by_name[f"COMMAND_NAME_{name}"].number


def describe(address):
    server = Server(address)
    health = Service(server.channel, server.pool, "grpc.health.v1.Health")
    return {
        "services": sorted(server.reflection.get_services()),
        "health": health.Check(service="canary.v1.Control").status,
    }


def rollout(address, token):
    """Sets a weight and variables, and rolls back, while a stream shows it."""
    server = Server(address)
    control = server.control(token)
    [listed] = control.List().canaries
    watch = control.Watch(canary="shop")
    next(item for item in watch if item.HasField("canary"))

    def command(name, **fields):
        return control.Command(canary="shop", command=server.number(name), **fields)

    dry = command("SET_WEIGHT", weight_ppm=105_000, dry_run=True)
    weight = command("SET_WEIGHT", weight_ppm=105_000, reason="a first look")
    variables = command(
        "SET_VARIABLES",
        if_match=control.Get(canary="shop").latest,
        variables={"overrides": {"set": {"limit": {"integer": 30}}, "remove": ["backend"]}},
    )
    rolled_back = command("ROLL_BACK", reason="wrong totals", if_match="1-1")
    events = []
    for item in watch:
        if item.HasField("event"):
            events.append([item.event.sentence, item.event.reason, item.event.weight_ppm])
            if item.event.kind == "rolled_back":
                break
    watch.cancel()
    latest = control.Get(canary="shop").latest
    # A stream that resumes begins after the last event.
    again = next(iter(control.Watch(canary="shop", after=latest)))
    return {
        "listed": [listed.name, listed.stable.release, listed.canary.release, listed.weight_ppm],
        "effect": dry.effect,
        "weight": [weight.canary.weight_ppm, [event.kind for event in weight.events]],
        "variables": [event.kind for event in variables.events],
        "rolled_back": [rolled_back.canary.weight_ppm, rolled_back.canary.phase],
        "events": events,
        "again": again.WhichOneof("item"),
    }


def refusals(address):
    server = Server(address)
    control, watcher = server.control("operate"), server.control("view")

    def command(name, service=control, **fields):
        fields = {"canary": "shop", **fields}
        return status(lambda: service.Command(command=server.number(name), **fields))

    control.Command(canary="shop", command=server.number("START"))
    started = control.Get(canary="shop").latest
    control.Command(canary="shop", command=server.number("SET_WEIGHT"), weight_ppm=10_000, if_match=started)
    return {
        "anonymous": status(lambda: server.control().List()),
        "wrong token": status(lambda: server.control("wrong").List()),
        "role": command("PAUSE", watcher),
        "canary": status(lambda: control.Get(canary="cart")),
        "watched canary": status(lambda: list(control.Watch(canary="cart"))),
        "after": status(lambda: list(control.Watch(canary="shop", after="x"))),
        "command": command("UNSPECIFIED"),
        "no weight": command("SET_WEIGHT"),
        "weight": command("SET_WEIGHT", weight_ppm=1_000_001),
        "data": command("HALT", gate="owner"),
        "variable": command("SET_VARIABLES", variables={"stage": {"set": {"a": {"json": "secret"}}}}),
        "if_match": command("PAUSE", if_match="x"),
        "refused": command("RESUME"),
        "unseen": command("SET_WEIGHT", weight_ppm=20_000),
        "changed": command("SET_WEIGHT", weight_ppm=20_000, if_match=started),
    }


def foreign(address):
    """Names another host than that of the server."""
    return status(Server(address, ("grpc.default_authority", "evil.example")).reflection.get_services)


def status(call):
    """Returns the code, the message and the kind of the problem."""
    try:
        call()
    except grpc.RpcError as error:
        problem = dict(error.trailing_metadata()).get("canary-problem")
        return [error.code().name, error.details(), problem]
    return ["OK", "", None]


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print(json.dumps(globals()[command](*arguments)))
