"""Opens channels of grpcio to servers of the tests."""

import json

import grpc

# The calls of grpcio's own reflection client have no deadline, and would hang for ever.
DEADLINES = {"methodConfig": [{"name": [{}], "timeout": "60s"}]}


def open_channel(address, *options):
    """Opens a channel each of whose calls ends within a minute."""
    return grpc.insecure_channel(
        address,
        options=[
            # An HTTP proxy cannot reach the server.
            ("grpc.enable_http_proxy", 0),
            ("grpc.service_config", json.dumps(DEADLINES)),
            *options,
        ],
    )
