"""Times in a recording, as people read them."""


def clock(seconds: float) -> str:
    """``m:ss.d``"""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"
