// SPDX-License-Identifier: Apache-2.0
//
// Keys that clients show, and what each may do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/guarded.h"
#include "llava/core/hash.h"
#include "llava/serve/http/http_message.h"

namespace llava::serve {

/// Whose key it is. Names appear in logs and metrics, keys never do.
struct ApiKey {
  std::string name;
  Sha256 digest{};
  bool may_set_priority = false;
};

/// Keys by their digests; comparisons take the same time wherever the digests differ.
///
/// Threads: safe.
class ApiKeys {
 public:
  /// `keys` as they are; `file` has lines `name:sha256hex[:rights]`, rights being words with commas
  /// between (`priority`), and comments behind '#'; empty: none.
  ///
  /// Throws: Error(kNotFound), Error(kBadFormat) naming file and line.
  ApiKeys(const std::vector<std::string>& keys, const std::string& file);

  /// Reads the file again.   Throws: as the constructor; the keys stay as they were then.
  void reload();

  /// Whether any key is needed.
  bool is_open() const;
  std::size_t size() const;
  /// The key that a request shows as a bearer token or in x-api-key; nothing when it is not known.
  std::optional<ApiKey> find(const HttpRequest& request) const;

 private:
  std::vector<ApiKey> fixed_;
  std::string file_;
  Guarded<std::vector<ApiKey>> keys_;
};

}  // namespace llava::serve
