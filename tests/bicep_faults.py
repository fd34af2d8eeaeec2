"""Print what is wrong with a Bicep template, a line for each fault; run by the Python of the environment ``azure``.

What no parser sees is compared with Microsoft's own types of the resources: names of properties, and values where the
choice is fixed. Names, modules, and their parameters and outputs are followed from file to file.
"""

# ruff: noqa: T201 - it answers on stdout
import re
import sys
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, Required, get_args, get_origin, get_type_hints

PARSER: Any = None

#: Resource types, and where their types are. Those of which no package has any are listed with None.
TYPES = {
    "Microsoft.App/containerApps": ("appcontainers", "ContainerApp"),
    "Microsoft.App/managedEnvironments": ("appcontainers", "ManagedEnvironment"),
    "Microsoft.Authorization/roleAssignments": None,
    "Microsoft.CognitiveServices/accounts": None,
    "Microsoft.ContainerRegistry/registries": None,
    "Microsoft.DBforPostgreSQL/flexibleServers": ("postgresqlflexibleservers", "Server"),
    "Microsoft.DBforPostgreSQL/flexibleServers/databases": ("postgresqlflexibleservers", "Database"),
    "Microsoft.KeyVault/vaults": ("keyvault", "VaultCreateOrUpdateParameters"),
    "Microsoft.KeyVault/vaults/secrets": ("keyvault", "SecretCreateOrUpdateParameters"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": None,
    "Microsoft.Network/privateDnsZones": ("privatedns", "PrivateZone"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": ("privatedns", "VirtualNetworkLink"),
    "Microsoft.Network/virtualNetworks": ("network", "VirtualNetwork"),
    "Microsoft.OperationalInsights/workspaces": None,
    "Microsoft.Resources/resourceGroups": None,
}
#: What Bicep itself knows of each resource, beside the resource's type.
OF_EACH = frozenset({"name", "parent", "scope", "dependsOn"})
#: Namespaces of functions, and the variables of a loop are found where they are.
KNOWN = {"az", "sys"}
DECLARATIONS = {"parameter_declaration", "variable_declaration", "resource_declaration", "module_declaration"}


def parsed(path: Path) -> Any:
    global PARSER  # noqa: PLW0603 - made once
    if PARSER is None:
        sitter, language = import_module("tree_sitter"), import_module("tree_sitter_bicep")
        PARSER = sitter.Parser(sitter.Language(language.language()))
    return PARSER.parse(path.read_bytes()).root_node


def all_in(node: Any) -> Iterator[Any]:
    yield node
    for child in node.children:
        yield from all_in(child)


def text(node: Any) -> str:
    return str(node.text.decode()).strip("'")


def declared(root: Any, kind: str) -> dict[str, Any]:
    """Return what a file declares of one kind, by name, also inside of others."""
    return {text(node.named_children[0]): node for node in all_in(root) if node.type == kind}


def faults(path: Path) -> Iterator[str]:
    root = parsed(path)
    for node in all_in(root):
        where = f"{path.name}:{node.start_point[0] + 1}"
        if node.type == "ERROR" or node.is_missing:
            yield f"{where}: syntax: {text(node)[:40]!r}"
        if node.type == "resource_declaration":
            yield from (f"{where}: {fault}" for fault in of_resource(node))
        if node.type == "module_declaration":
            yield from (f"{where}: {fault}" for fault in of_module(node, path.parent, root))
        if node.type == "call_expression" and text(node.named_children[0]) == "loadTextContent":
            (file,) = (text(child) for child in all_in(node) if child.type == "string_content")
            if not (path.parent / file).is_file():
                yield f"{where}: there is no file {file}"
    yield from (f"{path.name}:{fault}" for fault in of_names(root))


def of_names(root: Any) -> Iterator[str]:
    """Yield names that are used and declared nowhere, and parameters and variables that nothing uses."""
    names = {name for kind in DECLARATIONS for name in declared(root, kind)}
    loops = {text(node) for node in all_in(root) if node.type in {"loop_variable", "loop_enumerator"}}
    used = set()
    for node in all_in(root):
        if node.type != "identifier" or _is_no_use(node):
            continue
        used.add(text(node))
        if text(node) not in names | loops | KNOWN:
            yield f"{node.start_point[0] + 1}: {text(node)} is declared nowhere"
    for kind in ("parameter_declaration", "variable_declaration"):
        yield from (f" {name} is used nowhere" for name in declared(root, kind) if name not in used)


def _is_no_use(node: Any) -> bool:
    """Whether an identifier is the name of a declaration, of a property or of a function."""
    parent = node.parent
    is_first = parent.named_children[0] == node
    declares = parent.type in DECLARATIONS | {"output_declaration"}
    return parent.type == "decorator" or (
        is_first and (declares or parent.type in {"object_property", "call_expression"})
    )


def of_resource(node: Any) -> Iterator[str]:
    kind, _, version = text(node.named_children[1]).partition("@")
    body = next(child for child in all_in(node) if child.type == "object")
    if "existing" in [child.type for child in node.children] or not version:
        return  # it is only named
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", version):
        yield f"{kind}: {version} is no released version"
    if kind not in TYPES:
        yield f"{kind}: say in TYPES where its types are"
    elif (place := TYPES[kind]) is not None:
        package, name = place
        module = import_module(f"azure.mgmt.{package}.types")
        models = vars(import_module(f"azure.mgmt.{package}.models"))
        enums = {name: each for name, each in models.items() if _is_choice(each)}
        yield from of_value(body, getattr(module, name), enums, kind, OF_EACH)


def of_value(
    node: Any, kind: Any, enums: dict[str, Any], where: str, also: frozenset[str] = frozenset()
) -> Iterator[str]:
    """Yield what does not fit ``kind``: a TypedDict, a list of such, or a choice of strings."""
    is_structure = hasattr(kind, "__required_keys__")
    if node.type in {"array", "for_statement"}:
        inner = get_args(kind)[0] if get_origin(kind) is list else kind
        for child in node.named_children:
            if child.type in {"object", "for_statement"} or (child.type == "string" and node.type == "array"):
                yield from of_value(child, inner, enums, where)
    elif node.type == "object" and is_structure:
        yield from of_object(node, kind, enums, where, also)
    elif node.type == "string" and is_structure:
        yield f"{where}: {text(node)!r} is no object"
    elif node.type in {"string", "object"} and kind in {int, bool}:
        yield f"{where}: {text(node)[:40]!r} is no {kind.__name__}"
    elif node.type == "string" and not any(child.type == "interpolation" for child in node.children):
        choices = {str(each.value) for part in get_args(kind) if _is_choice(part) for each in part}
        if choices and text(node) not in choices:
            yield f"{where}: {text(node)!r} is none of {', '.join(sorted(choices))}"


def _is_choice(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def of_object(node: Any, kind: Any, enums: dict[str, Any], where: str, also: frozenset[str]) -> Iterator[str]:
    fields = get_type_hints(kind, localns=enums)
    given = {text(item.named_children[0]): item for item in node.named_children if item.type == "object_property"}
    for name, item in given.items():
        if name in also or item.named_children[0].type == "resource_declaration":
            continue
        if name not in fields:
            yield f"{where}: no property {name}"
        else:
            yield from of_value(item.named_children[-1], fields[name], enums, f"{where}.{name}")
    hints = get_type_hints(kind, localns=enums, include_extras=True)
    needed = {name for name, hint in hints.items() if get_origin(hint) is Required}
    yield from (f"{where}: {name} is missing" for name in sorted(needed - set(given) - also))


def of_module(node: Any, folder: Path, root: Any) -> Iterator[str]:
    name, file = (text(child) for child in node.named_children[:2])
    if not (folder / file).is_file():
        yield f"there is no module {file}"
        return
    wanted = parsed(folder / file)
    parameters = declared(wanted, "parameter_declaration")
    must = {each for each, at in parameters.items() if not any(child.type == "=" for child in at.children)}
    properties = [child for child in all_in(node) if child.type == "object_property"]
    (params,) = (each.named_children[1] for each in properties if text(each.named_children[0]) == "params")
    given = {text(each.named_children[0]) for each in params.named_children if each.type == "object_property"}
    yield from (f"{name}: {each} is no parameter of {file}" for each in sorted(given - set(parameters)))
    yield from (f"{name}: {file} needs {each}" for each in sorted(must - given))
    outputs = set(declared(wanted, "output_declaration"))
    asked = re.findall(rf"\b{name}\.outputs\.(\w+)", root.text.decode())
    yield from (f"{name}: {file} has no output {each}" for each in sorted(set(asked) - outputs))


if __name__ == "__main__":
    for folder in map(Path, sys.argv[1:]):
        for file in sorted(folder.glob("*.bicep")):
            for fault in faults(file):
                print(f"{folder.name}/{fault}")
