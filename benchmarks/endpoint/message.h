// Requests and answers, and the little of HTTP's and S3's text that an endpoint reads.
#pragma once

#include <strings.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

struct Request {
    std::string method, path, query;
    std::string headers;  // all lines, each one after a CRLF
    std::string body;     // of POST alone
    long length = 0;      // of the object that a PUT brings
};

struct Answer {
    std::string text;         // head, and body if it is not the object's
    long start = 0, size = 0; // the bytes of the pattern that follow
};

// The value of a header, or "".
inline std::string header(const Request& request, const char* name) {
    const size_t length = strlen(name);
    const char* line = request.headers.c_str();
    while ((line = strstr(line, "\r\n"))) {
        line += 2;
        if (strncasecmp(line, name, length) || line[length] != ':') continue;
        line += length + 1;
        while (*line == ' ') line++;
        const char* end = strstr(line, "\r\n");
        return std::string(line, end ? end - line : strlen(line));
    }
    return "";
}

inline std::string decoded(const std::string& text, bool plus_is_space = false) {
    std::string found;
    for (size_t at = 0; at < text.size(); at++) {
        if (text[at] == '%' && at + 2 < text.size()) {
            found += char(strtol(text.substr(at + 1, 2).c_str(), nullptr, 16));
            at += 2;
        } else {
            found += plus_is_space && text[at] == '+' ? ' ' : text[at];
        }
    }
    return found;
}

inline bool is_plain(unsigned char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '-' && byte <= '9') || byte == '_' || byte == '~';  // '-', '.', '/', digits
}

inline std::string encoded(const std::string& text) {
    if (std::all_of(text.begin(), text.end(), is_plain)) return text;
    static const char digits[] = "0123456789ABCDEF";
    std::string found;
    found.reserve(text.size());
    for (unsigned char byte : text) {
        if (is_plain(byte)) {
            found += char(byte);
        } else {
            found += '%';
            found += digits[byte >> 4];
            found += digits[byte & 15];
        }
    }
    return found;
}

inline std::string escaped(const std::string& text) {
    if (text.find_first_of("&<>") == std::string::npos) return text;
    std::string found;
    for (char letter : text) {
        if (letter == '&') found += "&amp;";
        else if (letter == '<') found += "&lt;";
        else if (letter == '>') found += "&gt;";
        else found += letter;
    }
    return found;
}

// Whether the query has a parameter, and its value.
inline bool parameter(const Request& request, const char* name, std::string* value = nullptr) {
    const std::string& query = request.query;
    const size_t length = strlen(name);
    for (size_t at = 0; at <= query.size();) {
        const size_t end = std::min(query.find('&', at), query.size());
        const bool named = !query.compare(at, length, name);
        if (named && (at + length == end || query[at + length] == '=')) {
            if (value && at + length < end)
                *value = decoded(query.substr(at + length + 1, end - at - length - 1), true);
            return true;
        }
        at = end + 1;
    }
    return false;
}

inline long number(const Request& request, const char* name, long otherwise) {
    std::string value;
    return parameter(request, name, &value) ? atol(value.c_str()) : otherwise;
}
