from __future__ import annotations

import pytest

from lls_provider.runtime.wheelfile.wheel import is_empty_init, same_init_meaning

DECLARATIONS = [
    b"__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
    b'__path__ = __import__("pkgutil").extend_path(__path__, __name__)  # namespace\n',
    b"import pkgutil\n__path__ = pkgutil.extend_path(__path__, __name__)\n",
    b"from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n",
    b"__import__('pkg_resources').declare_namespace(__name__)\n",
    (
        b"try:\n    import pkg_resources\n    pkg_resources.declare_namespace(__name__)\n"
        b"except ImportError:\n    import pkgutil\n"
        b"    __path__ = pkgutil.extend_path(__path__, __name__)\n"
    ),
]


@pytest.mark.parametrize("source", DECLARATIONS)
def test_every_way_to_declare_a_namespace_means_the_same(source: bytes) -> None:
    assert is_empty_init(source)
    assert same_init_meaning(source, DECLARATIONS[0])
    assert not same_init_meaning(source, b"")
    assert not same_init_meaning(source, source + b"x = 1\n")


def test_comments_and_docstrings_mean_nothing() -> None:
    assert same_init_meaning(b'"""One."""\nx = 1', b"# other\nx = (1)\n")
    assert same_init_meaning(b"", b'"""Empty."""\n')
    assert not same_init_meaning(b"x = 1", b"x = 2")
    assert is_empty_init(b'"""Empty."""\n')
    assert not is_empty_init(b"from .a import b")


@pytest.mark.parametrize(
    "source", [b"x = = 1", b"\xff\xfe", b"\0", b"x = " + b"(" * 5000, b"#" * 70_000, b"-" * 60_000]
)
def test_what_cannot_be_judged_is_different(source: bytes) -> None:
    assert not same_init_meaning(source, source)
    assert not is_empty_init(source)


@pytest.mark.parametrize(
    "source",
    [
        b"try:\n    import pkgutil\nfinally:\n    x = 1\n",
        b"try:\n    import pkgutil\nexcept ImportError:\n    from .a import b\n",
        b"if True:\n    pass\n",
    ],
)
def test_more_than_a_declaration_is_none(source: bytes) -> None:
    assert not is_empty_init(source)


@pytest.mark.parametrize(
    ("begin", "nested", "end"),
    [
        (b"x = ", b"1+", b"1"),
        (b"x = a", b".b", b""),
        (b"x = ", b"not ", b"1"),
        (b"if 1: pass\n", b"elif 1: pass\n", b""),
    ],
)
def test_code_nested_to_any_depth_is_judged(begin: bytes, nested: bytes, end: bytes) -> None:
    for depth in (300, 500, 700, 900, 1500):
        source = begin + nested * depth + end
        assert not same_init_meaning(source, source + b"y = 1\n")
        assert not is_empty_init(source)
