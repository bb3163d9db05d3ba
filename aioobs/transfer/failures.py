"""Which errors end a whole copy; the others get the names of their file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.errors import ConfigError, ConnectionFailed, ObsError, SourceError

if TYPE_CHECKING:
    from aioobs.transfer.job import Job

__all__ = ["concerns_all", "failure_of"]


def concerns_all(error: OSError) -> bool:
    """Tell whether no other file of a copy can fare better."""
    if isinstance(error, ConfigError):
        return not error.url
    if isinstance(error, ConnectionFailed):
        return error.kind in ("refused", "unknown host", "tls", "not http")
    code = error.resp.code if isinstance(error, ObsError) and error.resp else ""
    return code in (
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "NoSuchBucket",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "VirtualHostDomainRequired",
    )


def with_names(error: OSError, job: Job) -> OSError:
    """Return the error with the names of the file that was not copied."""
    source, target = str(job.source), str(job.target)
    error.add_note(f"while copying {source} to {target}")
    if isinstance(error, SourceError):
        error.url = source  # whatever request it has ended
    if source not in str(error) and target not in str(error):
        if isinstance(error, ObsError):
            error.url = source
        else:
            error.filename, error.filename2 = source, error.filename or target
    if isinstance(error, ObsError):
        error.filename = error.url or None
    return error


def failure_of(error: OSError, job: Job) -> OSError:
    """Return the error with the names of its file; raise it if it ends the whole copy."""
    if concerns_all(error):
        raise error
    return with_names(error, job)
