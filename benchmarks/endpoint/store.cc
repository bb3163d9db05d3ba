// S3's requests, as far as clients make them.  Signatures are not checked.
#include "store.h"

#include <algorithm>

using std::string;

static const char DATE[] = "Sun, 22 Nov 2026 08:00:00 GMT";
static const char TIME[] = "2026-11-22T08:00:00.000Z";
static const char XML[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
static const char NAMESPACE[] = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

static string element(const char* name, const string& text) {
    return string("<") + name + ">" + text + "</" + name + ">";
}

static string etag(long size) {
    char text[40];
    snprintf(text, sizeof text, "%016lx%016x-1", size, 0x5a5a);
    return text;
}

static string head(const char* status, const string& headers, long length) {
    string text = "HTTP/1.1 ";
    text.reserve(512);
    text += status;
    text += "\r\nServer: endpoint\r\nDate: ";
    text += DATE;
    text += "\r\nx-amz-request-id: 1234567890ABCDEF\r\n";
    text += headers;
    text += "Content-Length: ";
    text += std::to_string(length);
    text += "\r\n\r\n";
    return text;
}

// What a listing has of an object after its key.
static string details(long size) {
    return string("</Key><LastModified>") + TIME + "</LastModified><ETag>&quot;" + etag(size) +
           "&quot;</ETag><Size>" + std::to_string(size) +
           "</Size><StorageClass>STANDARD</StorageClass></Contents>";
}

static Answer plain(const char* status, const string& headers = "", const string& body = "") {
    return {head(status, headers, long(body.size())) + body};
}

static Answer document(const string& body) {
    return plain("200 OK", "Content-Type: application/xml\r\n", XML + body);
}

static Answer refusal(const char* status, const char* code) {
    const string body = element("Error", element("Code", code) + element("Message", code));
    return plain(status, "Content-Type: application/xml\r\n", body);
}

Answer Store::answer(const Request& request) {
    requests_++;
    const string path = decoded(request.path);
    const size_t slash = path.find('/', 1);
    const string bucket = path.substr(1, slash == string::npos ? slash : slash - 1);
    const string key = slash == string::npos ? "" : path.substr(slash + 1);
    if (bucket.empty()) return on_endpoint(request);
    if (key.empty()) return on_bucket(request, bucket);
    const string name = bucket + "/" + key;
    if (request.method == "GET" || request.method == "HEAD") return get(request, name);
    if (request.method == "PUT") return put(request, name);
    if (request.method == "POST") return post(request, bucket, name);
    if (request.method == "DELETE") return erase(request, name);
    return refusal("501 Not Implemented", "NotImplemented");
}

Answer Store::on_endpoint(const Request& request) {
    // Not S3: how many requests there were before this one.
    if (parameter(request, "requests")) return plain("200 OK", "", std::to_string(--requests_));
    return document("<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>");
}

Answer Store::on_bucket(const Request& request, const string& bucket) {
    if (request.method == "GET") {
        if (parameter(request, "location"))
            return document(string("<LocationConstraint") + NAMESPACE + "></LocationConstraint>");
        if (parameter(request, "versioning")) return document("<VersioningConfiguration/>");
        return list(request, bucket);
    }
    if (request.method == "POST" && parameter(request, "fill")) {
        // Not S3: make objects that nobody has sent.
        string prefix;
        parameter(request, "prefix", &prefix);
        fill(bucket + "/" + prefix, number(request, "count", 0), number(request, "size", 0));
        return plain("200 OK");
    }
    if (request.method == "POST" && parameter(request, "delete")) {
        const string& body = request.body;
        for (size_t at = 0; (at = body.find("<Key>", at)) != string::npos;) {
            const size_t end = std::min(body.find("</Key>", at), body.size());
            objects_.erase(bucket + "/" + body.substr(at + 5, end - at - 5));
            at = end;
        }
        return document("<DeleteResult></DeleteResult>");
    }
    if (request.method == "DELETE") clear(bucket);
    return plain(request.method == "DELETE" ? "204 No Content" : "200 OK");
}

void Store::fill(const string& start, long count, long size) {
    char name[24];
    for (long index = 0; index < count; index++) {
        snprintf(name, sizeof name, "%08ld", index);
        objects_[start + name] = size;
    }
}

void Store::clear(const string& bucket) {
    objects_.erase(objects_.lower_bound(bucket + "/"), objects_.lower_bound(bucket + "0"));
}

Answer Store::list(const Request& request, const string& bucket) const {
    string prefix, delimiter, after;
    parameter(request, "prefix", &prefix);
    parameter(request, "delimiter", &delimiter);
    const bool second = parameter(request, "list-type"), url = parameter(request, "encoding-type");
    parameter(request, "continuation-token", &after) || parameter(request, "start-after", &after) ||
        parameter(request, "marker", &after);
    const long most = number(request, "max-keys", 1000);
    const auto shown = [url](const string& text) { return url ? encoded(text) : escaped(text); };
    const string base = bucket + "/", all = base + prefix;
    auto found = after >= prefix && !after.empty() ? objects_.upper_bound(base + after)
                                                   : objects_.lower_bound(all);
    string items, folders, last, rest;
    long count = 0, size = -1;
    items.reserve(256 * size_t(std::max(0L, std::min(most, 1000L))));
    bool more = false;
    while (found != objects_.end() && !found->first.compare(0, all.size(), all)) {
        const string key = found->first.substr(base.size());
        const size_t cut = delimiter.empty() ? string::npos : key.find(delimiter, prefix.size());
        const bool folded = cut != string::npos;
        const string folder = folded ? key.substr(0, cut + delimiter.size()) : "";
        const bool told = folded && !after.empty() && !after.compare(0, folder.size(), folder);
        if (!told && count >= most) {
            more = true;
            break;
        }
        if (folded) {
            if (!told) folders += element("CommonPrefixes", element("Prefix", shown(folder)));
            found = objects_.lower_bound(base + folder.substr(0, folder.size() - 1) +
                                         char(folder.back() + 1));
        } else {
            if (found->second != size) rest = details(size = found->second);
            items += "<Contents><Key>";
            items += shown(key);
            items += rest;
            ++found;
        }
        if (!told) {
            count++;
            last = folded ? folder : key;
        }
    }
    string body = string("<ListBucketResult") + NAMESPACE + ">" + element("Name", bucket) +
                  element("Prefix", shown(prefix)) + element("MaxKeys", std::to_string(most));
    if (second) body += element("KeyCount", std::to_string(count));
    if (more) body += element(second ? "NextContinuationToken" : "NextMarker",
                              second ? escaped(last) : shown(last));
    if (url) body += element("EncodingType", "url");
    if (!delimiter.empty()) body += element("Delimiter", shown(delimiter));
    body += element("IsTruncated", more ? "true" : "false");
    return document(body + items + folders + "</ListBucketResult>");
}

Answer Store::get(const Request& request, const string& name) const {
    const auto found = objects_.find(name);
    if (found == objects_.end()) {
        if (request.method == "HEAD") return plain("404 Not Found");
        return refusal("404 Not Found", "NoSuchKey");
    }
    const long size = found->second;
    long first = 0, last = size - 1;
    const string range = header(request, "range");
    string headers = string("Last-Modified: ") + DATE + "\r\nETag: \"" + etag(size) +
                     "\"\r\nAccept-Ranges: bytes\r\nContent-Type: application/octet-stream\r\n";
    const bool partial = !range.compare(0, 6, "bytes=") && size > 0;
    if (partial) {
        char* rest;
        const char* text = range.c_str() + 6;
        if (*text == '-') {
            first = std::max(0L, size - atol(text + 1));
        } else {
            first = strtol(text, &rest, 10);
            if (rest[0] == '-' && rest[1]) last = std::min(last, atol(rest + 1));
        }
        if (first >= size) return refusal("416 Range Not Satisfiable", "InvalidRange");
        headers += "Content-Range: bytes " + std::to_string(first) + "-" + std::to_string(last) +
                   "/" + std::to_string(size) + "\r\n";
    }
    const long length = last - first + 1;
    const string text = head(partial ? "206 Partial Content" : "200 OK", headers, length);
    return {text, first, request.method == "GET" ? length : 0};
}

Answer Store::put(const Request& request, const string& name) {
    long size = request.length;
    string source = decoded(header(request, "x-amz-copy-source")), part, upload;
    if (!source.empty()) {
        if (source[0] == '/') source.erase(0, 1);
        const auto found = objects_.find(source.substr(0, source.find('?')));
        if (found == objects_.end()) return refusal("404 Not Found", "NoSuchKey");
        size = found->second;
        const string range = header(request, "x-amz-copy-source-range");
        if (!range.empty()) {
            char* rest;
            const long first = strtol(range.c_str() + 6, &rest, 10);
            size = atol(rest + 1) - first + 1;
        }
    }
    const bool is_part = parameter(request, "uploadId", &upload);
    if (is_part) {
        const auto found = uploads_.find(upload);
        if (found == uploads_.end()) return refusal("404 Not Found", "NoSuchUpload");
        found->second.parts[int(number(request, "partNumber", 1))] = size;
    } else {
        objects_[name] = size;
    }
    if (source.empty()) return plain("200 OK", "ETag: \"" + etag(size) + "\"\r\n");
    return document(element(is_part ? "CopyPartResult" : "CopyObjectResult",
                            element("ETag", "\"" + etag(size) + "\"") +
                                element("LastModified", TIME)));
}

Answer Store::post(const Request& request, const string& bucket, const string& name) {
    string id;
    const string names = element("Bucket", bucket) +
                         element("Key", escaped(name.substr(bucket.size() + 1)));
    if (parameter(request, "uploads")) {
        id = "upload-" + std::to_string(++uploads_made_);
        uploads_[id] = {};
        return document(element("InitiateMultipartUploadResult", names + element("UploadId", id)));
    }
    if (!parameter(request, "uploadId", &id))
        return refusal("501 Not Implemented", "NotImplemented");
    const auto found = uploads_.find(id);
    if (found == uploads_.end()) return refusal("404 Not Found", "NoSuchUpload");
    long size = 0;
    for (const auto& part : found->second.parts) size += part.second;
    uploads_.erase(found);
    objects_[name] = size;
    return document(element("CompleteMultipartUploadResult",
                            names + element("ETag", "\"" + etag(size) + "\"")));
}

Answer Store::erase(const Request& request, const string& name) {
    string id;
    if (parameter(request, "uploadId", &id)) uploads_.erase(id);
    else objects_.erase(name);
    return plain("204 No Content");
}
