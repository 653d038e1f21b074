// SPDX-License-Identifier: Apache-2.0
#include "llava/train/rank_agreement.h"

#include <string>
#include <string_view>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/hash.h"
#include "llava/core/json.h"

namespace llava::train {
namespace {

namespace fs = std::filesystem;

void check_same(RankGroup& group, std::string_view what, const std::string& text) {
  const std::string hash = to_hex(sha256(std::as_bytes(std::span(text))));
  const std::vector<std::string> hashes = group.gather(hash);
  for (std::size_t rank = 1; rank < hashes.size(); ++rank) {
    if (hashes[rank] == hashes[0]) continue;
    fail(ErrorCode::kInvalidArgument,
         "rank {} has another {} than rank 0: start all ranks with the same program, flags and "
         "files",
         rank, what);
  }
}

}  // namespace

void require_same_flags(RankGroup& group, const TrainConfig& config) {
  Json flags = to_json(config);
  for (const char* name : {"local-rank", "device", "threads", "cache-dir"}) flags.erase(name);
  check_same(group, "set of flags", to_text(flags));
}

void require_same_values(RankGroup& group, std::span<const TrainedParameter> parameters) {
  std::string hashes;
  for (const TrainedParameter& parameter : parameters) {
    const at::Tensor value = parameter.value.detach().cpu();
    hashes +=
        parameter.name + " " +
        to_hex(sha256({static_cast<const std::byte*>(value.const_data_ptr()), value.nbytes()}));
  }
  check_same(group, "set of initial values", hashes);
}

std::optional<fs::path> common_checkpoint(RankGroup& group, const TrainConfig& config) {
  std::string found;
  if (group.is_first()) {
    if (const auto checkpoint = find_checkpoint(config)) found = checkpoint->string();
  }
  found = group.gather(found).front();
  if (found.empty()) return std::nullopt;
  if (!fs::is_directory(found)) {
    fail(ErrorCode::kNotFound,
         "rank {} does not see '{}', which rank 0 goes on from: --output-dir has to be a folder "
         "that all machines share",
         group.rank(), found);
  }
  return found;
}

}  // namespace llava::train
