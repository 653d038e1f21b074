// SPDX-License-Identifier: Apache-2.0
//
// `llava quantize`: a checkpoint into a packed store.
#include <algorithm>
#include <map>

#include "command.h"
#include "command_line.h"
#include "fetch_model.h"
#include "llava/core/json.h"
#include "llava/core/progress.h"
#include "llava/engine/quantize/quantize.h"
#include "llava/runtime.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "quantize",
    .summary = "Writes a checkpoint with fewer bits, as a folder that opens at once.",
    .details =
        "The folder holds model.llava, whose tensors lie as they are computed with and are mapped\n"
        "from the file, and all that answering needs besides. Adapters are merged. Norms, biases\n"
        "and position embeddings keep the compute type of their part. The report says how far the\n"
        "weights are from the checkpoint's: the root mean square of the error over that of the\n"
        "weights.",
    .examples =
        "  llava quantize --output tiny-llava-q4\n"
        "  llava quantize --model-path llava-v1.5-7b --output llava-v1.5-7b-q4 --vision q8\n"
        "  llava run --model-path llava-v1.5-7b-q4 --image-file a.jpg --query \"What is this?\""};

constexpr double kMiB = 1024.0 * 1024.0;
constexpr std::size_t kNumWorst = 5;

struct QuantizeOptions {
  engine::QuantizeRequest request;
  int32_t threads = 0;
  bool verify = false;
  bool json = false;

  template <class V>
  void describe(V& v) {
    request.describe(v);
    v.field("verify", verify, "read the store again when it is written and compare its checksums");
    v.field("threads", threads, "threads to quantise with; 0: one per core, or LLAVA_THREADS",
            in_range(0, 4096));
    v.field("json", json, "print one JSON object");
  }
};

// Sums over the tensors of a part that are held in one type.
struct Row {
  int64_t num_tensors = 0;
  int64_t bytes = 0;
  double squared_error = 0;
  double squared_norm = 0;
};

std::map<std::pair<std::string, std::string>, Row> rows_of(const engine::QuantizeReport& report) {
  std::map<std::pair<std::string, std::string>, Row> rows;
  for (const engine::QuantizedTensor& tensor : report.tensors) {
    Row& row = rows[{tensor.part, std::string(dtype_name(tensor.dtype))}];
    ++row.num_tensors;
    row.bytes += tensor.bytes;
    row.squared_error += tensor.squared_error;
    row.squared_norm += tensor.squared_norm;
  }
  return rows;
}

OrderedJson to_json(const engine::QuantizeReport& report) {
  OrderedJson json;
  json["output"] = report.output;
  json["bytes"] = report.bytes;
  json["seconds"] = report.seconds;
  json["parts"] = OrderedJson::array();
  for (const auto& [key, row] : rows_of(report)) {
    const engine::QuantizedTensor sum{.squared_error = row.squared_error,
                                      .squared_norm = row.squared_norm};
    json["parts"].push_back({{"part", key.first},
                             {"form", key.second},
                             {"tensors", row.num_tensors},
                             {"bytes", row.bytes},
                             {"relative_rms", sum.relative_rms()}});
  }
  std::vector<engine::QuantizedTensor> worst = report.tensors;
  std::ranges::stable_sort(worst, std::ranges::greater{}, &engine::QuantizedTensor::relative_rms);
  worst.resize(std::min(worst.size(), kNumWorst));
  json["worst"] = OrderedJson::array();
  for (const engine::QuantizedTensor& tensor : worst) {
    json["worst"].push_back({{"name", tensor.name},
                             {"from", tensor.stored_as},
                             {"form", dtype_name(tensor.dtype)},
                             {"relative_rms", tensor.relative_rms()}});
  }
  return json;
}

void print_text(const OrderedJson& json) {
  fmt::print("{}: {:.1f} MiB in {:.1f} s\n", json["output"].get<std::string>(),
             json["bytes"].get<double>() / kMiB, json["seconds"].get<double>());
  fmt::print("{:<12} {:<9} {:>7} {:>10}  {}\n", "part", "form", "tensors", "MiB", "relative error");
  for (const OrderedJson& part : json["parts"]) {
    fmt::print("{:<12} {:<9} {:>7} {:>10.2f}  {:.4f} %\n", part["part"].get<std::string>(),
               part["form"].get<std::string>(), part["tensors"].get<int64_t>(),
               part["bytes"].get<double>() / kMiB, 100 * part["relative_rms"].get<double>());
  }
  fmt::print("largest relative errors:\n");
  for (const OrderedJson& tensor : json["worst"]) {
    fmt::print("  {} ({} -> {}): {:.4f} %\n", tensor["name"].get<std::string>(),
               tensor["from"].get<std::string>(), tensor["form"].get<std::string>(),
               100 * tensor["relative_rms"].get<double>());
  }
}

}  // namespace

int quantize_command(const Arguments& arguments) {
  QuantizeOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  fetch_model({.model_path = options.request.model_path,
               .model_base = options.request.model_base,
               .needs_tower = options.request.vision_tower.empty()});
  Runtime runtime({.threads = options.threads});
  Context ctx = runtime.context();
  OrderedJson json;
  {
    ProgressBar bar("quantising");
    json = to_json(engine::quantize_checkpoint(
        ctx, options.request, [&](uint64_t done, uint64_t total) { bar.update(done, total); }));
  }
  std::vector<std::string> problems;
  if (options.verify) {
    ProgressBar bar("verifying");
    problems = engine::verify_packed_store(
        *ctx.pool, options.request.output,
        [&](uint64_t done, uint64_t total) { bar.update(done, total); });
    json["problems"] = problems;
  }
  if (options.json) {
    fmt::print("{}\n", to_text(json));
  } else {
    print_text(json);
    if (options.verify && problems.empty()) fmt::print("verified\n");
    for (const std::string& problem : problems) fmt::print("problem: {}\n", problem);
  }
  return problems.empty() ? 0 : kExitCheckFailed;
}

}  // namespace llava::app
