"""AWS Signature Version 2, and the signature of Huawei OBS, which is nearly the same.

* V2: https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
* OBS: https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0010.html
"""

from __future__ import annotations

import hmac
import re
import time
from binascii import b2a_base64
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, unquote

from aioobs.s3.auth.signing import check_expires, encode_query, header_lines, join_queries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aioobs.s3.auth.signing import Credentials, Target

__all__ = ["SigOBS", "SigV2"]

SUBRESOURCES_V2 = frozenset(
    """
    accelerate acl analytics cors defaultObjectAcl delete inventory lifecycle location logging
    metrics notification object-lock partNumber policy replication requestPayment
    response-cache-control response-content-disposition response-content-encoding
    response-content-language response-content-type response-expires restore select select-type
    storageClass tagging torrent uploadId uploads versionId versioning versions website
    """.split()  # noqa: SIM905 - quoted one to a line they fill two screens
)
# What the SDKs of OBS call ALLOWED_RESOURCE_PARAMTER_NAMES, in lower case, without workflows.
SUBRESOURCES_OBS = frozenset(
    """
    acl append asyncfetchjob attname backtosource cdnnotifyconfiguration cors customdomain delete
    deletebucket directcoldaccess dispolicy encryption extension_policy fileinterface
    getcontentsummary ignore-sign-in-query inventory length lifecycle listcontentsummary location
    logging metadata mirrorbacktosource mirrorrefresh modify multilistcontentsummary name
    notification object-lock obsalias obsbucketalias obscompresspolicy partnumber policy position
    quota readahead rename replication requestpayment response-cache-control
    response-content-disposition response-content-encoding response-content-language
    response-content-type response-expires restore retention select select-type storageclass
    storageinfo storagepolicy tagging torrent truncate uploadid uploads versionid versioning
    versions website x-image-process x-image-save-bucket x-image-save-object x-oss-process
    """.split()  # noqa: SIM905 - quoted one to a line they fill two screens
)

# What the SDKs of OBS encode in metadata, among others, and decode whatever they find.
NOT_PLAIN = re.compile(r"[^\x00-\x7f]+|%")

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class SigV2:
    """AWS Signature Version 2."""

    scheme: ClassVar[str] = "AWS"
    prefix: ClassVar[str] = "x-amz-"
    access_key_name: ClassVar[str] = "AWSAccessKeyId"
    subresources: ClassVar[frozenset[str]] = SUBRESOURCES_V2

    def sign(
        self,
        target: Target,
        headers: Mapping[str, str],
        payload: str,  # the body is no part of this signature
        credentials: Credentials,
        now: float,
    ) -> str:
        sent = self._renamed(headers)
        sent["date"] = http_date(now)
        if credentials.token is not None:
            sent[self.prefix + "security-token"] = credentials.token
        signature = self._signature(target, target.query, sent, sent["date"], credentials)
        sent["authorization"] = f"{self.scheme} {credentials.access_key}:{signature}"
        return header_lines(sent)

    def presign(
        self,
        target: Target,
        headers: Mapping[str, str],
        expires: int,
        credentials: Credentials,
        now: float,
    ) -> str:
        check_expires(expires, None)
        end = str(int(now) + expires)
        signed = self._renamed(headers)
        query = target.query
        if credentials.token is not None:
            token = {self.prefix + "security-token": credentials.token}
            query = join_queries(query, encode_query(token.items()))
            if not self._signs_parameter(self.prefix + "security-token"):
                # S3 reads such a parameter as the header of that name.
                signed.update(token)
        signature = self._signature(target, query, signed, end, credentials)
        proof = (
            (self.access_key_name, credentials.access_key),
            ("Expires", end),
            ("Signature", signature),
        )
        return join_queries(query, encode_query(proof))

    def _renamed(self, headers: Mapping[str, str]) -> dict[str, str]:
        return dict(headers)

    def _signs_parameter(self, name: str) -> bool:
        return name in self.subresources

    def _signature(
        self,
        target: Target,
        query: str,
        headers: Mapping[str, str],
        date: str,
        credentials: Credentials,
    ) -> str:
        lines = [
            target.method,
            headers.get("content-md5", "").strip(),
            headers.get("content-type", "").strip(),
            date,
        ]
        names = sorted(name for name in headers if name.startswith(self.prefix))
        lines += [f"{name}:{headers[name].strip()}" for name in names]
        lines.append(target.resource + self._canonical_parameters(query))
        text = "\n".join(lines).encode()
        digest = hmac.digest(credentials.secret_key.encode(), text, "sha1")
        return b2a_base64(digest, newline=False).decode()

    def _canonical_parameters(self, query: str) -> str:
        """Return what of the query names another resource: sorted, with the values decoded."""
        pairs = (part.partition("=")[::2] for part in query.split("&") if part)
        signed = sorted(pair for pair in pairs if self._signs_parameter(pair[0]))
        # The stores drop the equals sign of an empty value.
        text = "&".join(f"{name}={unquote(value)}" if value else name for name, value in signed)
        return f"?{text}" if text else ""


class SigOBS(SigV2):
    """The signature of the native API of OBS: as V2, with names of its own.

    Headers that are given as ``x-amz-*`` are sent as ``x-obs-*``, and metadata percent-encoded.
    """

    scheme = "OBS"
    prefix = "x-obs-"
    access_key_name = "AccessKeyId"
    subresources: ClassVar[frozenset[str]] = SUBRESOURCES_OBS

    def _renamed(self, headers: Mapping[str, str]) -> dict[str, str]:
        renamed = {
            f"x-obs-{name[6:]}" if name.startswith("x-amz-") else name: value
            for name, value in headers.items()
        }
        for name, value in renamed.items():
            if name.startswith("x-obs-meta-"):
                renamed[name] = NOT_PLAIN.sub(lambda found: quote(found[0]), value)
        return renamed

    def _signs_parameter(self, name: str) -> bool:
        lowered = name.lower()
        return lowered in self.subresources or lowered.startswith(self.prefix)


def http_date(now: float) -> str:
    """Write the time as RFC 9110 wants it, whatever the locale of the process."""
    moment = time.gmtime(int(now))
    return time.strftime(
        f"{WEEKDAYS[moment.tm_wday]}, %d {MONTHS[moment.tm_mon - 1]} %Y %H:%M:%S GMT", moment
    )
