"""The last touch to the schema: bodies closed, calls linked, and what repeats told once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

Part = dict[str, Any]

# What can be done next with the notification that an answer tells of, and where its id stands in that answer.
_NEXT = {
    "Read": "notifications_retrieve",
    "Resend": "notifications_resend_create",
    "Cancel": "notifications_cancel_create",
    "Reschedule": "notifications_reschedule_create",
}
_ONE = "$response.body#/id"
_FIRST_OF_BATCH = "$response.body#/notifications/0/id"
_LINKED = {"send", "read", "change"}  # tags
_NOT_LINKED = {"notifications_list", "notifications_resend_many"}  # a page may be empty


def finish(result: Part, **_: Any) -> Part:
    """A hook of drf-spectacular, called with the whole schema."""
    components = result["components"]
    for name, schema in components["schemas"].items():
        if name.endswith("Request") and schema.get("type") == "object":
            schema["additionalProperties"] = False  # a misspelt name is refused
    for operation in _operations(result):
        if body := operation.get("requestBody"):
            body["required"] = not _may_be_left_out(body, components)
        if _LINKED.intersection(operation.get("tags", ())) and operation["operationId"] not in _NOT_LINKED:
            _link(operation, components)
    _share_parts(result, components)
    _share_problems(result, components)
    return result


def _operations(result: Part) -> Iterator[Part]:
    for methods in result["paths"].values():
        yield from methods.values()


def _may_be_left_out(body: Part, components: Part) -> bool:
    """Whether it can say nothing: an object that has no members."""
    (content,) = body["content"].values()
    schema = components["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    return schema.get("type") == "object" and not schema.get("properties")


def _link(operation: Part, components: Part) -> None:
    """Links of the successful answer, shared by all that hold the id in the same place."""
    batch = operation["operationId"] == "notifications_batch_create"
    links = components.setdefault("links", {})
    names = {}
    for name, target in _NEXT.items():
        if target != operation["operationId"]:
            names[name] = f"{name}FirstOfBatch" if batch else name
            place = _FIRST_OF_BATCH if batch else _ONE
            links[names[name]] = {"operationId": target, "parameters": {"id": place}}
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response["links"] = {name: {"$ref": f"#/components/links/{shared}"} for name, shared in names.items()}


def _share_parts(result: Part, components: Part) -> None:
    """Headers, parameters and the examples of problems: each stands once, under its name."""
    for operation in _operations(result):
        operation["parameters"] = [
            _shared(components, "parameters", _name_of(each), each) if each["in"] == "header" else each
            for each in operation.get("parameters", ())
        ]
        for response in operation["responses"].values():
            headers = response.get("headers", {})
            for name, header in headers.items():
                headers[name] = _shared(components, "headers", name, header)
            for content in response.get("content", {}).values():
                examples = content.get("examples", {})
                for name, example in examples.items():
                    examples[name] = _shared(components, "examples", name, example)


def _name_of(parameter: Part) -> str:
    return str(parameter["name"]) + ("" if parameter.get("required") else "-optional")


def _shared(components: Part, kind: str, name: str, part: Part) -> Part:
    """A reference to it; the part itself where the name is another's."""
    if components.setdefault(kind, {}).setdefault(name, part) == part:
        return {"$ref": f"#/components/{kind}/{name}"}
    return part


def _share_problems(result: Part, components: Part) -> None:
    """One response for each status, or for each kind of call where they differ."""
    variants = defaultdict(set)
    for operation in _operations(result):
        for status, response in operation["responses"].items():
            variants[status].add(json.dumps(response))
    for operation in _operations(result):
        for status, response in operation["responses"].items():
            if int(status) >= HTTPStatus.BAD_REQUEST:
                name = HTTPStatus(int(status)).phrase.title().replace(" ", "")
                if len(variants[status]) > 1:
                    name += f"To{operation['tags'][0].title()}"
                operation["responses"][status] = _shared(components, "responses", name, response)
