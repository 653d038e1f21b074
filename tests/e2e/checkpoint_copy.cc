// SPDX-License-Identifier: Apache-2.0
#include "checkpoint_copy.h"

#include <cstring>

#include "program.h"

namespace llava::testing {
namespace {

namespace fs = std::filesystem;

void write_file(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

}  // namespace

SafetensorsParts SafetensorsParts::of(std::string_view file) {
  uint64_t size = 0;
  std::memcpy(&size, file.data(), sizeof size);
  return {.header = parse_json(file.substr(8, size), "header"),
          .data = std::string(file.substr(8 + size))};
}

std::string SafetensorsParts::file() const {
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t size = text.size();
  std::string file(sizeof size, '\0');
  std::memcpy(file.data(), &size, sizeof size);
  return file + text + data;
}

fs::path CheckpointCopy::copy(const std::string& model) const {
  const auto copy_of = [this](const std::string& name) {
    const fs::path target = folder_ / name;
    fs::remove_all(target);
    fs::copy(golden_model(name), target, fs::copy_options::recursive);
    fs::permissions(target, fs::perms::owner_write, fs::perm_options::add);
    if (!fs::is_directory(target)) return target;
    for (const auto& entry : fs::recursive_directory_iterator(target)) {
      fs::permissions(entry.path(), fs::perms::owner_write, fs::perm_options::add);
    }
    return target;
  };
  copy_of("towers");
  return copy_of(model);
}

void CheckpointCopy::edit(const fs::path& file,
                          const std::function<std::string(std::string)>& change) {
  write_file(file, change(read_text(file)));
}

void CheckpointCopy::substitute(const fs::path& file, const std::string& from,
                                const std::string& to) {
  std::string text = read_text(file);
  const std::size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << file << " does not have " << from;
  write_file(file, text.replace(at, from.size(), to));
}

void CheckpointCopy::edit_header(const fs::path& safetensors,
                                 const std::function<void(Json&)>& change) {
  SafetensorsParts parts = SafetensorsParts::of(read_text(safetensors));
  change(parts.header);
  write_file(safetensors, parts.file());
}

}  // namespace llava::testing
