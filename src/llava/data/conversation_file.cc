// SPDX-License-Identifier: Apache-2.0
#include "llava/data/conversation_file.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/data/picture_groups.h"
#include "llava/data/word_count.h"

namespace llava::data {
namespace {

std::string id_text(const Json& value) {
  const Json* id = value.is_object() && value.contains("id") ? &value.at("id") : nullptr;
  if (id == nullptr || id->is_null()) return {};
  return id->is_string() ? id->get<std::string>() : to_text(*id);
}

// Reads one sample; every complaint names the file, the sample and its id.
class RecordReader {
 public:
  RecordReader(const Json& value, int64_t index, std::string_view source) : value_(value) {
    record_.index = index;
    record_.id = id_text(value);
    place_ = fmt::format("{}: {}", source, describe(record_));
  }

  Record read() {
    if (!value_.is_object()) complain("is {}, expected an object", value_.type_name());
    read_images();
    read_turns();
    return std::move(record_);
  }

 private:
  template <class... Args>
  [[noreturn]] void complain(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::kBadFormat, "{} {}", place_, fmt::format(format, std::forward<Args>(args)...));
  }

  void read_images() {
    const auto found = value_.find("image");
    if (found == value_.end()) return;
    record_.has_image_key = true;
    if (found->is_string()) {
      add_image(*found);
    } else if (found->is_array() && !found->empty()) {
      for (const Json& item : *found) add_image(item);
    } else {
      complain(
          "has an 'image' that is {}, expected a path or a list of paths; leave the key out "
          "of a sample without a picture",
          found->is_array() ? "an empty list" : found->type_name());
    }
  }

  void add_image(const Json& item) {
    if (!item.is_string()) complain("has an 'image' that is {}, expected a path", item.type_name());
    record_.images.push_back(item.get<std::string>());
    if (record_.images.back().empty()) complain("has an empty 'image', expected a path");
  }

  void read_turns() {
    const auto found = value_.find("conversations");
    if (found == value_.end()) complain("has no 'conversations', expected a list of turns");
    if (!found->is_array()) {
      complain("has 'conversations' that are {}, expected a list of turns", found->type_name());
    }
    if (found->empty()) complain("has no turn in 'conversations', expected at least one");
    for (std::size_t i = 0; i < found->size(); ++i) {
      const Json& turn = found->at(i);
      if (!turn.is_object()) {
        complain("has a turn {} that is {}, expected an object", i, turn.type_name());
      }
      record_.conversations.push_back(
          {.from = text_of(turn, "from", i), .value = text_of(turn, "value", i)});
    }
  }

  std::string text_of(const Json& turn, const char* key, std::size_t number) const {
    const auto found = turn.find(key);
    if (found == turn.end()) complain("has a turn {} without '{}'", number, key);
    if (!found->is_string()) {
      complain("has a turn {} whose '{}' is {}, expected text", number, key, found->type_name());
    }
    return found->get<std::string>();
  }

  const Json& value_;
  Record record_;
  std::string place_;
};

int32_t length_of(const Record& record, Grouping grouping) {
  const int64_t words = count_words(record);
  if (grouping == Grouping::kLength) {
    return static_cast<int32_t>(words + (record.has_image_key ? kWordsPerPicture : 0));
  }
  const auto length = static_cast<int32_t>(std::max<int64_t>(1, words));
  return record.has_image_key ? length : -length;
}

}  // namespace

std::string describe(const Record& record) {
  if (record.id.empty()) return fmt::format("sample {}", record.index);
  return fmt::format("sample {} (id '{}')", record.index, record.id);
}

int64_t count_words(const Record& record) {
  int64_t words = 0;
  for (const Turn& turn : record.conversations) words += count_words(std::string_view(turn.value));
  return words;
}

ConversationFile ConversationFile::open(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const auto bytes = file->bytes();
  return {file, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
          fmt::format("'{}'", path.string())};
}

ConversationFile ConversationFile::from_text(std::string text, std::string source) {
  const auto owner = std::make_shared<const std::string>(std::move(text));
  return {owner, *owner, std::move(source)};
}

ConversationFile::ConversationFile(std::shared_ptr<const void> owner, std::string_view text,
                                   std::string source)
    : owner_(std::move(owner)),
      text_(text),
      source_(std::move(source)),
      elements_(find_elements(text_, source_)) {
  elements_.shrink_to_fit();
  if (elements_.empty()) {
    fail(ErrorCode::kBadFormat, "{} is an empty array, expected at least one sample", source_);
  }
}

Record ConversationFile::record(int64_t index) const {
  if (index < 0 || index >= size()) {
    fail(ErrorCode::kInvalidArgument, "sample {} of {}, which has samples 0 to {}", index, source_,
         size() - 1);
  }
  const ElementRange& range = elements_[static_cast<std::size_t>(index)];
  const Json value =
      parse_json(text_.substr(range.begin, range.size),
                 fmt::format("{}: sample {} (from byte {})", source_, index, range.begin));
  return RecordReader(value, index, source_).read();
}

std::vector<int32_t> ConversationFile::picture_numbers(ThreadPool& pool) const {
  // Paths by their hash: millions of them would take more memory than the file.
  std::vector<uint64_t> keys(elements_.size());
  pool.run_ranges(size(), /*min_range=*/256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Record found = record(i);
      if (found.images.empty()) continue;
      keys[static_cast<std::size_t>(i)] =
          uint64_t{std::hash<std::string>()(found.images.front())} | 1;
    }
  });
  return number_keys(keys);
}

std::vector<int32_t> ConversationFile::lengths(Grouping grouping, ThreadPool& pool) const {
  if (grouping == Grouping::kNone) return {};
  if (grouping == Grouping::kPicture) return picture_numbers(pool);
  std::vector<int32_t> lengths(elements_.size());
  pool.run_ranges(size(), /*min_range=*/256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      lengths[static_cast<std::size_t>(i)] = length_of(record(i), grouping);
    }
  });
  return lengths;
}

}  // namespace llava::data
