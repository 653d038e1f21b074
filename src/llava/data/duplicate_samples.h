// SPDX-License-Identifier: Apache-2.0
//
// Finds samples that occur more than once in a file, with eight bytes of memory for each.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llava/data/conversation_file.h"
#include "llava/data/record.h"

namespace llava::data {

/// Hash of a record's pictures and turns; its id does not count. Never 0.   Threads: safe.
uint64_t content_hash(const Record& record);

/// A sample and the first one that it repeats.
struct Duplicate {
  int64_t index = 0;
  int64_t first = 0;
};

/// The duplicates of a file, in no order. `hashes` has content_hash of every sample, or 0 for one
/// that is left out; samples of equal hashes are compared as they are.
///
/// Throws: as ConversationFile::record.   Threads: safe.
std::vector<Duplicate> find_duplicates(const ConversationFile& file,
                                       std::span<const uint64_t> hashes);

}  // namespace llava::data
