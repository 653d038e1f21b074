// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/conversion/consolidate.h"

#include <chrono>
#include <vector>

#include "llava/checkpoint/sharded_writer.h"
#include "llava/engine/conversion/source_folder.h"
#include "llava/engine/output_folder.h"

namespace llava::engine {
namespace {

using checkpoint::TensorInfo;

bool is_floating(DType dtype) { return is_compute_dtype(dtype) || dtype == DType::kFloat64; }

}  // namespace

ConversionReport consolidate(const ConsolidateRequest& request,
                             const ProgressCallback& on_progress) {
  const auto start = std::chrono::steady_clock::now();
  const SourceFolder source = open_source_folder(request.src, "--src");
  const std::filesystem::path target = output_path(request.dst, "--dst");
  require_other_folder(target, "--dst", source.path, "--src");
  require_new_folder(target, "--dst");
  const auto asked = dtype_from_name(request.dtype);
  const auto dtype_of = [&](const TensorInfo& info) {
    return is_floating(info.dtype) && asked ? *asked : info.dtype;
  };
  ConversionReport report{.output = request.dst};
  std::vector<checkpoint::WeightToWrite> weights;
  for (const auto& [name, info] : source.weights->tensors()) {
    const DType dtype = dtype_of(info);
    weights.push_back({{name, info.shape, dtype}, [&source, &key = name, dtype] {
                         const Tensor value = source.weights->load(key);
                         return value.dtype() == dtype ? value : host_cast(value, dtype);
                       }});
    report.bytes += static_cast<uint64_t>(weights.back().tensor.num_bytes());
  }
  report.num_tensors = static_cast<int64_t>(weights.size());
  OutputFolder output(target);
  const DType stored = source.description.dtype.value_or(DType::kFloat32);
  write_small_files(source, output.folder(), asked.value_or(stored));
  checkpoint::write_sharded_weights(
      output.folder(), weights,
      {.max_shard_bytes = static_cast<uint64_t>(request.max_shard_bytes),
       .on_progress = on_progress});
  output.finish();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace llava::engine
