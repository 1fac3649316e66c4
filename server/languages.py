"""How languages differ in writing. Pure."""

WITHOUT_SPACES = frozenset({"ja", "lo", "my", "th", "yue", "zh"})
"""Languages that are written without spaces between words."""


def bare(tag: str) -> str:
    """The language of a BCP-47 tag without its region: ``ko`` of ``ko-KR``."""
    return tag.partition("-")[0].lower()


def space(tag: str) -> str:
    """What stands between two words, or two sentences, of a language."""
    return "" if bare(tag) in WITHOUT_SPACES else " "
