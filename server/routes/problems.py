"""Refusals as problem documents (RFC 9457)."""

from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from server.errors import InvalidJSON, InvalidRequest, RequestError, invalid


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None, **extra: Any) -> Response:
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        **extra,
    }
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def problem_of(error: RequestError) -> Response:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if "offset" in error.extra:
        headers["Upload-Offset"] = str(error.extra["offset"])
    return problem(error.status, error.code, error.detail, headers, **error.extra)


def method_not_allowed(allowed: str) -> Response:
    return problem(405, "method_not_allowed", f"This takes {allowed}.", {"Allow": allowed})


def refusal_of(error: ValidationError) -> RequestError:
    """What is wrong with a JSON body; never tells the value, which may be someone's voice."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    if errors[0]["type"] == "json_invalid":
        return InvalidJSON(f"The body is not JSON. {errors[0]['msg']}")
    return _invalid_fields([(each["loc"], each["msg"]) for each in errors])


def _invalid_fields(errors: list[tuple[tuple[Any, ...], str]]) -> InvalidRequest:
    return invalid({".".join(str(part) for part in loc)[:200] or "body": message for loc, message in errors})


# --- handlers of the app --------------------------------------------------------------------------------------------


async def on_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return problem_of(error)


async def on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_of(_invalid_fields([(each["loc"][1:], each["msg"]) for each in error.errors()]))


async def on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name.lower()
    return problem(error.status_code, code, str(error.detail), dict(error.headers or {}))


async def on_unforeseen(request: Request, error: Exception) -> Response:
    return unforeseen()


def unforeseen() -> Response:
    return problem(500, "internal_error", "Something went wrong here. The log of the server says more.")
