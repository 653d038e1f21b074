// SPDX-License-Identifier: Apache-2.0
//
// The little of ZIP that PyTorch files use: stored entries, found through the central directory,
// with ZIP64 records for large files.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "llava/checkpoint/file_bytes.h"

namespace llava::checkpoint {

/// The entries of an archive by name, each a range of the file's bytes.
///
/// Throws: Error(kBadFormat) with the offset for a damaged archive, entries outside the file or
/// names given twice; Error(kUnsupported) for compressed or encrypted entries.
std::map<std::string, std::span<const std::byte>> read_zip_entries(const FileBytes& file);

}  // namespace llava::checkpoint
