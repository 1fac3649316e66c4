"""The one file of a ``multipart/form-data`` body, as it arrives."""

from collections.abc import AsyncIterator
from email.message import Message

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from server.errors import UnsupportedType, invalid

MAX_HEADER_BYTES = 4_096
"""Of all headers of the form's parts."""


class _Form:
    """Callbacks of the parser: ``data`` is of the file. Fields that are no file are passed over."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.files = 0
        self.ended = False
        self._name, self._header = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._in_file = False
        self._header_bytes = 0

    def on_part_begin(self) -> None:
        self._headers, self._in_file = {}, False

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += self._bounded(data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header += self._bounded(data[start:end])

    def on_header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._header)
        self._name, self._header = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        message = Message()
        message["Content-Disposition"] = self._headers.get(b"content-disposition", b"").decode("latin-1")
        self._in_file = message.get_filename() is not None
        self.files += self._in_file

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file and self.files == 1:
            self.data += data[start:end]

    def on_end(self) -> None:
        self.ended = True

    def take(self) -> bytes:
        data, self.data = bytes(self.data), bytearray()
        return data

    def _bounded(self, data: bytes) -> bytes:
        self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise invalid({"body": "The headers of the form are too long."})
        return data


async def file_pieces(content_type: str, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The bytes of the form's file. ``content_type``: the header, with the boundary.

    Raises:
        UnsupportedType: there is no boundary.
        InvalidRequest: it is no such form, or has no file or several; what came before stays stored.

    """
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if not boundary or len(boundary) > 200:
        raise UnsupportedType("Content-Type: multipart/form-data needs the boundary of its parts.")
    form = _Form()
    names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data", "end")
    callbacks = {f"on_{name}": getattr(form, f"on_{name}") for name in names}
    parser = MultipartParser(boundary.encode("latin-1", "replace"), callbacks)  # type: ignore[arg-type]
    async for piece in body:
        try:
            parser.write(piece)
        except FormParserError:
            raise invalid({"body": "This is no multipart/form-data with that boundary."}) from None
        if form.files > 1:
            raise invalid({"body": "The form has several files; send one."})
        if data := form.take():
            yield data
    if not form.files:
        raise invalid({"body": "The form has no file. Send one: curl -F file=@talk.wav"})
