"""The errors themselves: their statuses, their codes, and the tree that they stand in."""

from collections.abc import Iterator

from server import errors
from server.errors import EngineError, RequestError, STTError


def all_errors(base: type[STTError] = STTError) -> Iterator[type[STTError]]:
    for each in base.__subclasses__():
        yield each
        yield from all_errors(each)


def test_every_refusal_has_a_status_and_a_code_of_its_own() -> None:
    refusals = [each for each in all_errors() if issubclass(each, RequestError) and each is not RequestError]
    assert refusals
    assert all("status" in vars(each) and 400 <= each.status < 600 for each in refusals)
    assert len({each.code for each in refusals} | {STTError.code}) == len(refusals) + 1


def test_every_error_is_in_the_tree_of_the_docstring() -> None:
    assert errors.__doc__
    tree = errors.__doc__.split()
    for each in all_errors():
        if each.__module__ != errors.__name__:  # an engine's own, inside its folder
            assert issubclass(each, EngineError)
            continue
        assert each.__name__ in tree
        if issubclass(each, RequestError) and each is not RequestError:
            assert tree[tree.index(each.__name__) + 1] == str(each.status)
