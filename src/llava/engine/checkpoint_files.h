// SPDX-License-Identifier: Apache-2.0
//
// The small files of a checkpoint folder besides configuration and weights, copied from one folder
// to another.
#pragma once

#include <filesystem>
#include <string>

#include "llava/core/json.h"

namespace llava::engine {

/// Copies the tokenizer's files, those that are there.
///
/// Throws: Error(kResourceExhausted) when the disk refuses; what reading the files throws.
void copy_tokenizer_files(const std::filesystem::path& from, const std::filesystem::path& to);

/// Copies preprocessor_config.json and processor_config.json, those that are there. Throws: as
/// above.
void copy_processor_files(const std::filesystem::path& from, const std::filesystem::path& to);

/// Copies one file if it is there. Throws: as above.
void copy_file_if_any(const std::filesystem::path& from, const std::filesystem::path& to,
                      const std::string& name);

/// A JSON file of a checkpoint folder, its keys in their order.
///
/// Throws: Error(kNotFound), Error(kBadFormat) naming the file.
OrderedJson read_ordered_file(const std::filesystem::path& file);

/// Writes a JSON file as transformers does: two spaces, a newline at the end.
///
/// Throws: Error(kResourceExhausted) when the disk refuses.
void write_ordered_file(const std::filesystem::path& file, const OrderedJson& json);

/// Copies generation_config.json, with do_sample where its settings want that
/// (consistent_generation_config); where there is none, writes the ids of `config`. Throws: as
/// above.
void write_generation_config(const std::filesystem::path& from, const std::filesystem::path& to,
                             const OrderedJson& config);

}  // namespace llava::engine
