// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/batch/batch_input.h"

#include <algorithm>

#include "llava/core/json.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxLineBytes = std::size_t{1} << 20;

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

bool is_address(std::string_view picture) {
  return picture.starts_with("http://") || picture.starts_with("https://");
}

std::vector<std::string> pictures_of(const JsonObject& object) {
  const Json* image = object.find("image");
  if (image == nullptr) return {};
  if (image->is_array()) return object.get_string_list("image").value();
  return {object.get_string("image").value()};
}

std::string id_of(const JsonObject& object) {
  for (const char* key : {"id", "question_id"}) {
    const Json* id = object.find(key);
    if (id == nullptr) continue;
    if (!id->is_string() && !id->is_number()) object.wrong_type(key, "a string or a number");
    return to_text(*id);
  }
  return {};
}

}  // namespace

BatchInput::BatchInput(BatchInputOptions options) : options_(std::move(options)) {
  if (fs::is_directory(options_.input)) {
    list_folder();
  } else {
    lines_ = MappedFile::open(options_.input);
    if (options_.image_folder.empty()) options_.image_folder = options_.input.parent_path();
    count_lines();
  }
}

void BatchInput::list_folder() {
  if (options_.query.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' is a folder of pictures without questions: --query asks one about each",
         options_.input.string());
  }
  for (const auto& entry : fs::directory_iterator(options_.input)) {
    std::error_code error;
    if (!entry.is_regular_file(error)) continue;
    if (fs::equivalent(entry.path(), options_.output, error)) continue;
    std::string name = entry.path().filename().string();
    if (!name.starts_with('.')) names_.push_back(std::move(name));
  }
  std::ranges::sort(names_);
  num_items_ = static_cast<int64_t>(names_.size());
}

void BatchInput::count_lines() {
  while (next_line()) ++num_items_;
  offset_ = 0;
  line_number_ = 0;
}

std::optional<std::string_view> BatchInput::next_line() {
  const auto bytes = lines_->bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (offset_ < text.size()) {
    const std::size_t end = std::min(text.find('\n', offset_), text.size());
    const std::string_view line = text.substr(offset_, end - offset_);
    offset_ = end + 1;
    ++line_number_;
    if (!is_blank(line)) return line;
  }
  return std::nullopt;
}

std::optional<BatchItem> BatchInput::next() {
  if (next_index_ == num_items_) return std::nullopt;
  BatchItem item;
  item.question.index = next_index_++;
  if (lines_ == nullptr) {
    const std::string& name = names_[static_cast<std::size_t>(item.question.index)];
    item.pictures = {name};
    item.question.pictures = {(options_.input / name).string()};
    item.question.question = options_.query;
    return item;
  }
  const auto line = next_line();
  try {
    read_line(line.value(), item);
  } catch (const Error& error) {
    item.error = {.code = error.code(), .message = error.what()};
  }
  return item;
}

void BatchInput::read_line(std::string_view line, BatchItem& item) const {
  const std::string source = fmt::format("{}:{}", options_.input.string(), line_number_);
  if (line.size() > kMaxLineBytes) {
    fail(ErrorCode::kBadFormat, "{}: a line of {} bytes, expected at most {}", source, line.size(),
         kMaxLineBytes);
  }
  const Json json = parse_json(line, source);
  const JsonObject object(json, source);
  item.id = id_of(object);
  item.pictures = pictures_of(object);
  for (const std::string& picture : item.pictures) {
    item.question.pictures.push_back(place_of(picture));
  }
  std::optional<std::string> question = object.get_string("question");
  if (!question) question = object.get_string("text");
  item.question.question = question.value_or(options_.query);
  if (item.question.question.empty()) {
    fail(ErrorCode::kBadFormat, "{}: no key 'question'; --query asks the same about every line",
         source);
  }
}

std::string BatchInput::place_of(const std::string& picture) const {
  if (is_address(picture)) return picture;
  return (options_.image_folder / picture).string();
}

}  // namespace llava::engine
