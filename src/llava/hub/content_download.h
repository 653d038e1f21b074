// SPDX-License-Identifier: Apache-2.0
//
// ContentDownload: one content on its way from the hub to its blob. It is cut into chunks that are
// fetched at the same time and written in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "llava/hub/chunk.h"
#include "llava/hub/partial_file.h"
#include "llava/hub/repo_cache.h"
#include "llava/hub/repo_listing.h"

namespace llava::hub {

/// Threads: whoever calls holds the owner's lock, but for write() and verify().
class ContentDownload {
 public:
  /// Throws: what PartialFile throws.
  ContentDownload(const RepoCache& cache, RepoFile file, FileLock lock);

  const RepoFile& file() const { return file_; }
  uint64_t size() const { return *file_.size; }
  /// Bytes that are in the file.
  uint64_t written() const { return written_; }
  bool is_whole() const { return written_ == size() && !is_writing_; }
  /// Chunks that are being fetched or wait to be written.
  std::size_t num_chunks() const { return num_in_flight_ + kept_.size(); }

  /// The next part to fetch, if any may be fetched now. `may_wait`: also one that cannot be written
  /// before others have come. A streamed one begins a write.
  std::optional<Chunk> take_chunk(bool may_wait);
  /// What a chunk that is not streamed brought. It is kept until it can be written.
  void keep(const Chunk& chunk, std::string bytes);
  /// The server sends everything whatever is asked for. What other chunks bring is of no use.
  /// Returns the bytes that are dropped.
  uint64_t stop_using_ranges();
  bool uses_ranges() const { return uses_ranges_; }

  /// What can be written next; then the caller writes it and ends the write. Nothing while another
  /// one writes.
  std::optional<std::string> begin_write();
  /// Without the lock.   Throws: what PartialFile::append throws.
  void write(std::string_view bytes) { partial_.append(bytes); }
  void end_write();

  /// Compares the hash of what is whole and gives it its name. Without the lock. False: it is wrong
  /// for the first time.
  ///
  /// Throws: Error(kBadFormat) the second time; the file is removed.
  bool verify();
  /// Begins anew after a wrong hash.
  void start_over();

  /// Where the hub has redirected requests for this file to; empty: not known.
  std::string location;

 private:
  const RepoCache& cache_;
  RepoFile file_;
  FileLock lock_;
  PartialFile partial_;
  uint64_t written_;
  uint64_t next_begin_;  ///< of the chunk that comes next
  std::size_t num_in_flight_ = 0;
  std::map<uint64_t, std::string> kept_;
  bool is_writing_ = false;
  bool uses_ranges_ = true;
  bool has_failed_ = false;
};

}  // namespace llava::hub
