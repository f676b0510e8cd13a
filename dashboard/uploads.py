"""How much does a page take, and where does a file lie meanwhile?

In one without a name, which is gone with the process that reads it. What is larger than a page takes is read to its
end and not kept: its size tells the form. Of a stranger's file nothing is kept at all.
"""

from collections.abc import Callable
from tempfile import TemporaryFile
from typing import IO, Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase

from dashboard.views import errors

FORM_MAX_BYTES = 256 * 1024  # of which the server gives us no part before the whole is here
UPLOAD_MAX_BYTES = 32 * 1024 * 1024  # as much as a proxy before us lets pass


class Upload(FileUploadHandler):
    """All the files of a form together are held to what one may be."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept_bytes = 0
        self._file: IO[bytes] | None = None

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._file = TemporaryFile()  # noqa: SIM115 (Django closes it with the request)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._kept_bytes += len(raw_data)
        if self._file is not None and self._kept_bytes <= UPLOAD_MAX_BYTES and self._is_somebodys:
            self._file.write(raw_data)

    def file_complete(self, file_size: int) -> "UploadedFile[Any]":
        if self._file is not None:
            self._file.seek(0)
        file, self._file = self._file, None
        return UploadedFile(file, self.file_name, self.content_type, file_size, self.charset, self.content_type_extra)

    def upload_interrupted(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def _is_somebodys(self) -> bool:
        return self.request is not None and self.request.user.is_authenticated


class Bounded:
    """Before a view looks for its form: is it here, and no larger than a form is? Files only members send."""

    def __init__(self, get_response: Callable[[WSGIRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, http: WSGIRequest) -> HttpResponseBase:
        return self._get_response(http)

    def process_view(self, http: WSGIRequest, *_view: object) -> HttpResponse | None:
        if int(http.META.get("CONTENT_LENGTH") or 0) > FORM_MAX_BYTES and not _may_upload(http):
            return errors.too_large(http)
        try:
            _ = http.POST
        except UnreadablePostError:
            return errors.cut_off(http)
        return None


def _may_upload(http: WSGIRequest) -> bool:
    return http.content_type == "multipart/form-data" and http.user.is_authenticated
