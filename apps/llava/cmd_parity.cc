// SPDX-License-Identifier: Apache-2.0
//
// `llava parity`: recomputes reference bundles and compares.
#include <memory>

#include "command.h"
#include "command_line.h"
#include "llava/core/json.h"
#include "llava/engine/parity/parity.h"
#include "session.h"
#include "torch_program.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "parity",
    .summary =
        "Recomputes reference bundles and compares with what the published software computed.",
    .details =
        "Bundles are made with scripts/make_reference.py. Every stage is compared and fed forward\n"
        "from our own results; --isolate starts each stage from the bundle's tensor before it.\n"
        "Exit status 0: all within tolerance; 5: something differs; 3: a malformed bundle.",
    .examples =
        "  llava parity --model-path llava-v1.5-7b --reference bundles/\n"
        "  llava parity --model-path my-lora --model-base vicuna-7b-v1.5 --reference "
        "one.safetensors"};

struct ParityCommandOptions {
  engine::LoadRequest load;
  RuntimeOptions runtime;
  std::string reference;
  bool isolate = false;
  bool stop_at_first = false;
  bool json = false;

  template <class V>
  void describe(V& v) {
    v.required("reference", reference, "a bundle, or a folder of bundles");
    v.field("isolate", isolate, "start each stage from the bundle's tensor before it");
    v.field("stop-at-first", stop_at_first, "end at the first tensor that differs");
    v.field("json", json, "print one JSON object");
    load.lora = "";  // unset: the bundle says which
    load.describe(v);
    runtime.describe(v);
  }
};

const char* verdict_text(engine::Verdict verdict) {
  switch (verdict) {
    case engine::Verdict::kOk:
      return "ok";
    case engine::Verdict::kOkBelowTarget:
      return "ok, below 0.9999";
    case engine::Verdict::kDiffers:
      return "DIFFERS";
    case engine::Verdict::kMeasured:
      return "measured";
  }
  return "";
}

void print_row(const engine::ComparisonRow& row) {
  std::string line = fmt::format("  {:<18} {:<18}", row.name, to_text(row.shape));
  if (row.max_abs_difference) line += fmt::format(" max {:.3e}", *row.max_abs_difference);
  if (row.relative_difference) line += fmt::format(" rel {:.3e}", *row.relative_difference);
  if (row.min_cosine) line += fmt::format(" cos {:.6f}", *row.min_cosine);
  if (row.tolerance) line += fmt::format(" tol {:.1e}", *row.tolerance);
  fmt::print("{}  {}\n", line, verdict_text(row.verdict));
  if (!row.note.empty()) fmt::print("      {}\n", row.note);
}

OrderedJson to_json(const engine::ComparisonRow& row) {
  OrderedJson result;
  result["name"] = row.name;
  result["shape"] = row.shape;
  result["verdict"] = verdict_text(row.verdict);
  const auto set = [&](const char* key, const std::optional<double>& value) {
    if (value) result[key] = *value;
  };
  set("max_abs_difference", row.max_abs_difference);
  set("relative_difference", row.relative_difference);
  set("min_cosine", row.min_cosine);
  set("tolerance", row.tolerance);
  if (!row.note.empty()) result["note"] = row.note;
  return result;
}

// Opens the checkpoint as each bundle needs it, again only when the need changes.
class SessionCache {
 public:
  explicit SessionCache(const RuntimeOptions& runtime) : runtime_(runtime) {}

  Session& open(const engine::LoadRequest& request) {
    const auto key = std::make_tuple(request.model_base, request.dtype, request.lora,
                                     request.image_aspect_ratio, request.rounds_to_float16);
    if (!session_ || key != key_) {
      session_.reset();
      session_ = std::make_unique<Session>(runtime_, request);
      key_ = key;
    }
    return *session_;
  }

 private:
  using Key = std::tuple<std::string, std::string, std::string, std::string, bool>;
  const RuntimeOptions& runtime_;
  std::unique_ptr<Session> session_;
  Key key_;
};

}  // namespace

int parity_command(const Arguments& arguments) {
  ParityCommandOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  require_backend(options.runtime);
  SessionCache sessions(options.runtime);
  OrderedJson bundles = OrderedJson::array();
  int num_passed = 0, num_failed = 0;
  for (const std::filesystem::path& path : engine::find_bundles(options.reference)) {
    const auto bundle = engine::ReferenceBundle::open(path);
    Session& session = sessions.open(engine::request_for_bundle(options.load, bundle));
    Context ctx = session.runtime.context();
    const engine::BundleReport report = engine::run_parity(
        ctx, session.pretrained, bundle,
        {.is_isolated = options.isolate, .stops_at_first = options.stop_at_first});
    const bool has_passed = report.has_passed();
    ++(has_passed ? num_passed : num_failed);
    if (options.json) {
      OrderedJson entry;
      entry["bundle"] = path.string();
      entry["passed"] = has_passed;
      entry["rows"] = OrderedJson::array();
      for (const auto& row : report.rows) entry["rows"].push_back(to_json(row));
      bundles.push_back(std::move(entry));
    } else {
      for (const auto& row : report.rows) print_row(row);
      fmt::print("{}: {}\n", path.string(), has_passed ? "ok" : "DIFFERS");
    }
    if (!has_passed && options.stop_at_first) break;
  }
  if (options.json) {
    OrderedJson result;
    result["bundles"] = std::move(bundles);
    result["passed"] = num_passed;
    result["failed"] = num_failed;
    fmt::print("{}\n", to_text(result));
  } else {
    fmt::print("{} passed, {} failed\n", num_passed, num_failed);
  }
  return num_failed == 0 ? 0 : kExitCheckFailed;
}

}  // namespace llava::app
