"""Controls a canary with botocore, the library of boto3 and the AWS CLI, and prints the results as JSON."""

import json
import sys
from datetime import datetime

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

PROMOTION = [
    {"op": "replace", "path": "/canarySettings/percentTraffic", "value": "0.0"},
    {"op": "copy", "from": "/canarySettings/stageVariableOverrides", "path": "/variables"},
    {"op": "copy", "from": "/canarySettings/deploymentId", "path": "/deploymentId"},
]


class Stage:
    def __init__(self, url, token):
        self.client = botocore.session.get_session().create_client(
            "apigateway",
            region_name="us-east-1",
            endpoint_url=url,
            # An HTTP proxy cannot reach this server.
            config=Config(signature_version=UNSIGNED, proxies={}),
        )

        def authorize(request, **_):
            request.headers["Authorization"] = f"Bearer {token}"

        self.client.meta.events.register("before-send.apigateway", authorize)

    def get(self, canary="shop", stage="prod"):
        return plain(self.client.get_stage(restApiId=canary, stageName=stage))

    def patch(self, *operations):
        stage = {"restApiId": "shop", "stageName": "prod"}
        return plain(self.client.update_stage(**stage, patchOperations=list(operations)))


def plain(stage):
    """Returns a parsed response as JSON can have it."""
    assert stage.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    for date in ("createdDate", "lastUpdatedDate"):
        if date in stage:
            assert isinstance(stage.pop(date), datetime)
    del stage["description"]
    return stage


def replace(path, value):
    return {"op": "replace", "path": path, "value": value}


def rollout(stage):
    """Sets a percentage and overrides, promotes, and removes the canary."""
    overrides = "/canarySettings/stageVariableOverrides"
    return [
        stage.get(),
        stage.patch(
            replace("/canarySettings/percentTraffic", "10.5"),
            replace("/canarySettings/useStageCache", "false"),
            replace(f"{overrides}/newVar", "newVal"),
            replace(f"{overrides}/backend", "b9"),
        ),
        stage.patch({"op": "remove", "path": f"{overrides}/backend"}),
        stage.patch(*PROMOTION),
        stage.patch({"op": "remove", "path": "/canarySettings"}),
        stage.get(),
    ]


def refusals(stage):
    """Returns the class and the message of the exceptions that botocore raises."""
    percent = "/canarySettings/percentTraffic"
    return [
        exception(lambda: stage.patch(replace(percent, "abc"))),
        exception(lambda: stage.patch(replace("/tracingEnabled", "true"))),
        exception(lambda: stage.patch(replace(percent, "100.0"))),
        exception(lambda: stage.get(canary="cart")),
        exception(lambda: stage.get(stage="beta")),
    ]


def unauthorized(stage):
    return exception(stage.get)


def exception(call):
    try:
        call()
    except ClientError as error:
        return [type(error).__name__, error.response["Error"]["Message"]]
    return None


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print(json.dumps(globals()[command](Stage(*arguments))))
