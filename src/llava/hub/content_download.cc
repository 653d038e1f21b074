// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/content_download.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "llava/core/check.h"
#include "llava/core/log.h"

namespace llava::hub {
namespace {

// Large enough that the time between two requests does not count, small enough that little is lost
// when the process ends.
constexpr uint64_t kChunkBytes = 8 << 20;

}  // namespace

ContentDownload::ContentDownload(const RepoCache& cache, RepoFile file, FileLock lock)
    : cache_(cache),
      file_(std::move(file)),
      lock_(std::move(lock)),
      partial_(cache.partial(file_.blob), *file_.size, file_.blob),
      written_(partial_.length()),
      next_begin_(written_) {}

std::optional<Chunk> ContentDownload::take_chunk(bool may_wait) {
  if (next_begin_ >= size()) return std::nullopt;
  if (!uses_ranges_) {
    if (is_writing_) return std::nullopt;
    is_writing_ = true;
    next_begin_ = size();
    return Chunk{.begin = written_, .end = size(), .is_streamed = true};
  }
  if (next_begin_ > written_ && !may_wait) return std::nullopt;
  const Chunk chunk{.begin = next_begin_, .end = std::min(next_begin_ + kChunkBytes, size())};
  next_begin_ = chunk.end;
  ++num_in_flight_;
  return chunk;
}

void ContentDownload::keep(const Chunk& chunk, std::string bytes) {
  --num_in_flight_;
  if (!uses_ranges_) return;
  LLAVA_CHECK(bytes.size() == chunk.end - chunk.begin);
  kept_.emplace(chunk.begin, std::move(bytes));
}

uint64_t ContentDownload::stop_using_ranges() {
  if (!uses_ranges_) return 0;
  log_info("hub_without_ranges", {{"file", file_.path}});
  uint64_t num_dropped = 0;
  for (const auto& [begin, bytes] : kept_) num_dropped += bytes.size();
  uses_ranges_ = false;
  kept_.clear();
  next_begin_ = written_;
  return num_dropped;
}

std::optional<std::string> ContentDownload::begin_write() {
  const auto next = kept_.find(written_);
  if (is_writing_ || next == kept_.end()) return std::nullopt;
  is_writing_ = true;
  return std::move(kept_.extract(next).mapped());
}

void ContentDownload::end_write() {
  is_writing_ = false;
  written_ = partial_.length();
  if (!uses_ranges_) next_begin_ = written_;
}

bool ContentDownload::verify() {
  const std::string hash = partial_.finish_hash();
  if (hash == file_.blob) {
    partial_.move_to(cache_.blob(file_.blob));
    return true;
  }
  if (has_failed_) {
    std::error_code ignored;
    std::filesystem::remove(cache_.partial(file_.blob), ignored);
    fail(
        ErrorCode::kBadFormat,
        "'{}' came twice with the hash {}, expected {}: it was removed; the server or something on "
        "the way damages it: try another network or mirror (HF_ENDPOINT)",
        file_.path, hash, file_.blob);
  }
  log_warning("wrong_hash", {{"file", file_.path}, {"found", hash}, {"expected", file_.blob}});
  has_failed_ = true;
  return false;
}

void ContentDownload::start_over() {
  partial_.clear();
  written_ = 0;
  next_begin_ = 0;
}

}  // namespace llava::hub
