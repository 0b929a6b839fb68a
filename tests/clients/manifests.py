"""Validates the manifests of examples/kubernetes, and prints the plan of the shop in JSON."""

import json
import pathlib
import re
import sys

import kubernetes_validate
import yaml

documents = []
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.yaml")):
    documents += list(yaml.safe_load_all(file.read_text()))


def find(kind, name):
    [found] = [it for it in documents if it["kind"] == kind and it["metadata"]["name"] == name]
    return found


validated = []
for document in documents:
    # The Prometheus operator defines it. The checks below cover what it refers to.
    if document["kind"] != "ServiceMonitor":
        kubernetes_validate.validate(document, "1.37", strict=True)
        validated.append(document["kind"])

service, deployment = find("Service", "shop"), find("Deployment", "shop")
monitor = find("ServiceMonitor", "shop")
pod = deployment["spec"]["template"]
[container] = pod["spec"]["containers"]
labels = pod["metadata"]["labels"].items()
selectors = [
    service["spec"]["selector"],
    deployment["spec"]["selector"]["matchLabels"],
    find("PodDisruptionBudget", "shop")["spec"]["selector"]["matchLabels"],
]
assert all(selector.items() <= labels for selector in selectors), selectors
assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
assert monitor["spec"]["endpoints"][0]["port"] in [it["name"] for it in service["spec"]["ports"]]
ports = [it["name"] for it in container["ports"]]
assert service["spec"]["ports"][0]["targetPort"] in ports
for kind in ["startup", "readiness", "liveness"]:
    assert container[f"{kind}Probe"]["httpGet"]["port"] in ports

# The guide creates the secrets, so that no file has one.
guide = (pathlib.Path(sys.argv[1]) / "README.md").read_text()
[(name, command)] = re.findall(r"create secret generic (\S+)((?:.*\\\n)*.*)", guide)
secrets = {name: set(re.findall(r"--from-literal=(\w+)=", command))}
mounted = {}
for it in documents:
    assert it["kind"] != "Secret", it
    spec = it.get("spec", {}).get("template", {}).get("spec", {})
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    for container in spec.get("containers", []):
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                reference = variable["valueFrom"]["secretKeyRef"]
                assert reference["key"] in secrets[reference["name"]], reference
        for mount in container.get("volumeMounts", []):
            volume = volumes.get(mount["name"], {})
            path = mount["mountPath"]
            if "secret" in volume:
                keys = secrets[volume["secret"]["secretName"]]
            elif "configMap" in volume:
                keys = find("ConfigMap", volume["configMap"]["name"])["data"]
            else:
                continue
            mounted |= {f"{path}/{key}": container["name"] for key in keys}

[container] = pod["spec"]["containers"]
arguments = dict(it.removeprefix("--").partition("=")[::2] for it in container["args"])
for argument in ["plan", "store-password-file", "tokens"]:
    assert mounted.get(arguments[argument]) == container["name"], arguments
print(json.dumps({
    "validated": validated,
    "plan": find("ConfigMap", "shop-plan")["data"]["plan.toml"],
    "probe": container["readinessProbe"]["httpGet"]["path"],
    "store": arguments["store"],
    "waits_for_start": "wait-for-start" in arguments,
    "replicas": deployment["spec"]["replicas"],
}))
