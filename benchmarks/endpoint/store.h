// The sizes of objects by their names: what this endpoint keeps of a store.
#pragma once

#include <map>
#include <string>
#include <unordered_map>

#include "message.h"

class Store {
  public:
    Answer answer(const Request& request);

  private:
    Answer list(const Request& request, const std::string& bucket) const;
    Answer on_endpoint(const Request& request);
    Answer on_bucket(const Request& request, const std::string& bucket);
    Answer get(const Request& request, const std::string& name) const;
    Answer put(const Request& request, const std::string& name);
    Answer post(const Request& request, const std::string& bucket, const std::string& name);
    Answer erase(const Request& request, const std::string& name);
    void fill(const std::string& start, long count, long size);
    void clear(const std::string& bucket);

    struct Upload {
        std::map<int, long> parts;
    };
    std::map<std::string, long> objects_;  // "bucket/key"
    std::unordered_map<std::string, Upload> uploads_;
    long uploads_made_ = 0, requests_ = 0;
};
