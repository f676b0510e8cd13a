"""How much of a file does a page take, and where does it lie meanwhile?

In a file without a name, which is gone with the process that reads it. What is larger than a page takes is read to its
end and not kept: its size tells the form. Of a stranger's file nothing is kept at all.
"""

from tempfile import TemporaryFile
from typing import IO, Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

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
