// SPDX-License-Identifier: Apache-2.0
//
// The questions of a batch: the files of a folder, or the lines of a JSON lines file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/engine/batch/answer_service.h"

namespace llava::engine {

/// Why an item has no answer.
struct BatchError {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

/// One item of the input.
struct BatchItem {
  BatchQuestion question;  ///< pictures as they can be opened
  std::string id;          ///< JSON text of the item's own identifier; empty: it has none
  std::vector<std::string> pictures;  ///< as the input names them
  std::optional<BatchError> error;    ///< the line could not be understood
};

/// Where the items come from.
struct BatchInputOptions {
  /// A folder, every file of which is a picture, or a file of JSON lines.
  std::filesystem::path input;
  /// The question about items that have none of their own.
  std::string query;
  /// Where the pictures of JSON lines are; empty: beside their file.
  std::filesystem::path image_folder;
  /// Left out of a folder's files.
  std::filesystem::path output;
};

/// Items in a fixed order: the files of a folder by name (hidden ones and folders left out), the
/// lines of a file as they stand (blank ones left out).
///
/// A line is an object with `question` (or `text`, as in the original's question files), `image` (a
/// path, an address or a list of them) and `id` (or `question_id`); other keys are ignored.
/// Threads: one thread at a time.
class BatchInput {
 public:
  /// Throws: Error(kNotFound) when there is no such input, Error(kInvalidArgument) for a folder
  /// without a query.
  explicit BatchInput(BatchInputOptions options);

  int64_t num_items() const noexcept { return num_items_; }
  /// The next item; nothing at the end.
  std::optional<BatchItem> next();

 private:
  void list_folder();
  void count_lines();
  std::optional<std::string_view> next_line();
  void read_line(std::string_view line, BatchItem& item) const;
  std::string place_of(const std::string& picture) const;

  BatchInputOptions options_;
  int64_t num_items_ = 0;
  int64_t next_index_ = 0;
  std::vector<std::string> names_;           // of a folder
  std::shared_ptr<const MappedFile> lines_;  // else
  std::size_t offset_ = 0;
  int64_t line_number_ = 0;
};

}  // namespace llava::engine
