"""When two ``__init__.py`` mean the same: comments and docstrings do not count, nor does the way
in which a package declares itself a namespace (PEP 420, "Legacy namespace packages").
"""

from __future__ import annotations

import ast

_LIMIT = 64 * 1024  # bytes: what is larger does more than declare a namespace
_DECLARATIONS = {
    "pass",
    "import pkgutil",
    "import pkg_resources",
    "from pkgutil import extend_path",
    "__path__ = extend_path(__path__, __name__)",
    "__path__ = pkgutil.extend_path(__path__, __name__)",
    "__path__ = __import__('pkgutil').extend_path(__path__, __name__)",
    "pkg_resources.declare_namespace(__name__)",
    "__import__('pkg_resources').declare_namespace(__name__)",
}


def same_meaning(first: bytes, second: bytes) -> bool:
    """Whether two ``__init__.py`` do the same: equal code, or both only declare a namespace."""
    one, other = _statements(first), _statements(second)
    if one is None or other is None:
        return False
    try:
        if list(map(ast.dump, one)) == list(map(ast.dump, other)):
            return True
    except RecursionError:  # nested less deeply than what cannot be parsed, but not by much
        return False
    return bool(one and other) and _is_declaration([*one, *other])


def does_nothing(source: bytes) -> bool:
    """Whether an ``__init__.py`` is empty or only declares a namespace: no name comes from it."""
    statements = _statements(source)
    return statements is not None and _is_declaration(statements)


def declares_namespace(source: bytes) -> bool:
    """Whether an ``__init__.py`` declares a namespace and does nothing else."""
    declared = b"extend_path(" in source or b"declare_namespace(" in source
    return declared and does_nothing(source)


def _statements(source: bytes) -> list[ast.stmt] | None:
    """The statements less the docstring; None when this Python cannot read them."""
    if len(source) > _LIMIT:
        return None
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def _is_declaration(statements: list[ast.stmt]) -> bool:
    for statement in statements:
        match statement:
            case ast.Try(body=body, handlers=handlers, orelse=[], finalbody=[]):
                parts = [*body, *(part for handler in handlers for part in handler.body)]
                if not _is_declaration(parts):
                    return False
            case _ if not _declares(statement):
                return False
    return True


def _declares(statement: ast.stmt) -> bool:
    try:
        return ast.unparse(statement) in _DECLARATIONS
    except RecursionError:
        return False
