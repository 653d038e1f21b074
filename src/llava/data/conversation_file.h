// SPDX-License-Identifier: Apache-2.0
//
// ConversationFile: the published training file, a JSON array (or JSON lines) of dialogues about
// pictures, read one record at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/file.h"
#include "llava/core/thread_pool.h"
#include "llava/data/epoch_order.h"
#include "llava/data/json_elements.h"
#include "llava/data/record.h"

namespace llava::data {

/// Words that stand for a picture in --group_by_length.
inline constexpr int32_t kWordsPerPicture = 128;

/// The samples of one file. Opening checks the whole text once and keeps 16 bytes a sample; records
/// are parsed when they are asked for.
///
/// Threads: const, safe to share.
class ConversationFile {
 public:
  /// Maps a file.
  ///
  /// Throws: Error(kNotFound) when it cannot be opened; as find_elements; Error(kBadFormat) when it
  /// has no sample.
  static ConversationFile open(const std::filesystem::path& path);
  /// A file's text that is in memory; `source` names it in messages.
  static ConversationFile from_text(std::string text, std::string source);

  int64_t size() const noexcept { return static_cast<int64_t>(elements_.size()); }
  /// How messages name the file.
  const std::string& source() const noexcept { return source_; }

  /// Parses a record and checks its form: `conversations` a list of at least one {"from", "value"}
  /// of texts, `image` absent, a path or a list of at least one path; other keys are not looked at.
  ///
  /// Throws: Error(kBadFormat) naming the file, the sample and the key; Error(kInvalidArgument) for
  /// an index outside the file.
  Record record(int64_t index) const;

  /// Length of every sample as `grouping` wants them (OrderOptions::lengths); empty for kNone. A
  /// sample without words counts as one word.
  ///
  /// Throws: as `record`.
  std::vector<int32_t> lengths(Grouping grouping, ThreadPool& pool) const;

 private:
  std::vector<int32_t> picture_numbers(ThreadPool& pool) const;

  ConversationFile(std::shared_ptr<const void> owner, std::string_view text, std::string source);

  std::shared_ptr<const void> owner_;
  std::string_view text_;
  std::string source_;
  std::vector<ElementRange> elements_;
};

/// Words of all turns of a record.
int64_t count_words(const Record& record);

}  // namespace llava::data
