// SPDX-License-Identifier: Apache-2.0
//
// `llava bench`: how fast this machine computes a model, checked before it is timed.
#include <cstdio>
#include <iostream>

#include "command.h"
#include "command_line.h"
#include "llava/core/progress.h"
#include "llava/engine/bench/bench_command.h"
#include "llava/engine/bench/bench_report.h"
#include "llava/engine/bench/bench_shapes.h"
#include "llava/engine/bench/random_model.h"
#include "llava/engine/open_engine.h"
#include "llava/kernels/dispatch.h"
#include "session.h"
#include "torch_program.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "bench",
    .summary = "Measures prefill, decode, batches, pictures, load time and memory.",
    .details =
        "Measures a checkpoint (--model-path, by default the bundled model), or with --shape a\n"
        "model of random numbers made in memory. Cases: prefill:TOKENS, decode:CONTEXT,\n"
        "batch:SEQUENCES, encode, first_token:TEXT_TOKENS, second_question:TEXT_TOKENS; '-' reads\n"
        "them from standard input, one a line, and answers each with one line of JSON.\n"
        "`llava bench serve` puts load on a server instead.",
    .examples =
        "  llava bench --shape 7b --lm q4\n"
        "  llava bench --model-path llava-v1.5-7b --cases prefill:512,decode:700 --json"};

std::string known_shapes() {
  return fmt::format("{}", fmt::join(engine::bench_shape_names(), ", "));
}

struct BenchOptions {
  engine::LoadRequest load;
  RuntimeOptions runtime;
  std::string shape;
  std::string lm = "q4";
  std::string projector = "bfloat16";
  std::string vision = "bfloat16";
  std::string kv = "auto";
  std::string cases;
  int32_t repeats = 5;
  int32_t context = 2048;
  bool json = false;

  template <class V>
  void describe(V& v) {
    v.field("shape", shape, "measure random numbers of this shape: " + known_shapes());
    v.field("lm", lm, "form of the random language model: float32, bfloat16, float16, q4, q8, ...");
    v.field("projector", projector, "form of the random projector");
    v.field("vision", vision, "form of the random vision tower");
    v.field("kv", kv,
            "type of the KV cache: auto is float16 beside packed weights, else the compute type",
            one_of({"auto", "f32", "f16", "bf16", "int8", "float32", "float16", "bfloat16"}));
    v.field("cases", cases,
            "what to measure, with commas between; default: all that the model can do");
    v.field("repeats", repeats, "samples of each case, after one that is not counted",
            in_range(1, 1000));
    v.field("context", context, "longest prompt that --cases - may ask for", in_range(64, 1 << 20));
    v.field("json", json, "print one JSON object");
    load.describe(v);
    runtime.describe(v);
  }
};

DType parse_form(std::string_view flag, const std::string& name) {
  const auto dtype = dtype_from_name(name);
  if (!dtype || (!is_compute_dtype(*dtype) && !is_packed(*dtype))) {
    fail(ErrorCode::kInvalidArgument,
         "--{} is '{}', expected float32, bfloat16, float16 or a packed form", flag, name);
  }
  return *dtype;
}

// The model measured: random, or a checkpoint's.
class Subject {
 public:
  explicit Subject(const BenchOptions& options) {
    if (options.shape.empty()) {
      session_.emplace(options.runtime, options.load);
      model_ = session_->pretrained.model.get();
      report.load_ms = session_->load_ms;
      report.facts.emplace_back("model", session_->pretrained.name);
      describe(session_->runtime);
      return;
    }
    if (!options.load.model_path.empty()) {
      fail(ErrorCode::kInvalidArgument, "--shape and --model-path are both given; choose one");
    }
    runtime_.emplace(options.runtime);
    Context ctx = runtime_->context();
    const engine::RandomModelForms forms{.language = parse_form("lm", options.lm),
                                         .projector = parse_form("projector", options.projector),
                                         .vision = parse_form("vision", options.vision)};
    ProgressBar bar("making random weights");
    random_ = engine::make_random_model(
        ctx, engine::bench_shape(options.shape), forms,
        [&bar](uint64_t done, uint64_t total) { bar.update(done, total); });
    model_ = random_.get();
    report.facts.emplace_back("model", "random " + options.shape);
    describe(*runtime_);
  }

  const model::LlavaModel& model() const { return *model_; }
  Context context() { return session_ ? session_->runtime.context() : runtime_->context(); }
  int num_threads() const {
    return session_ ? session_->runtime.num_threads() : runtime_->num_threads();
  }
  bool is_native() const { return is_native_; }

  engine::BenchReport report;

 private:
  void describe(const Runtime& runtime) {
    is_native_ = runtime.backend_name() == "native";
    report.num_parameters = engine::parameter_count(*model_);
    report.weight_bytes = engine::parameter_bytes(*model_);
    const DType language = model_->decoder.layers.front().mlp.down_proj.weight.value.dtype();
    report.facts.emplace_back("lm", dtype_name(language));
    if (model_->vision_tower)
      report.facts.emplace_back("vision", dtype_name(model_->vision_dtype()));
    report.facts.emplace_back("backend", runtime.backend_name());
    report.facts.emplace_back("kernels", kernels::active().name);
    report.facts.emplace_back("threads", fmt::format("{}", runtime.num_threads()));
    report.facts.emplace_back("cpu", kernels::cpu_name());
  }

  std::optional<Session> session_;
  std::optional<Runtime> runtime_;
  std::unique_ptr<model::LlavaModel> random_;
  const model::LlavaModel* model_ = nullptr;
  bool is_native_ = true;
};

std::vector<engine::BenchCase> choose_cases(const BenchOptions& options, bool has_vision) {
  if (options.cases == "-") {
    return {{engine::BenchKind::kPrefill, options.context}, {engine::BenchKind::kBatch, 16}};
  }
  if (!options.cases.empty()) return engine::parse_bench_cases(options.cases);
  std::string all = "prefill:512,decode:64,decode:700,batch:1,batch:2,batch:4,batch:8,batch:16";
  if (has_vision) all += ",encode,first_token:40,second_question:40";
  return engine::parse_bench_cases(all);
}

// Each line of standard input is a command; its answer is one line.
void answer_commands(Subject& subject, engine::Workload& workload) {
  // The report so far, without results, says that all is ready.
  fmt::print("{}\n", engine::bench_json(subject.report));
  std::fflush(stdout);
  for (std::string command; std::getline(std::cin, command);) {
    fmt::print("{}\n", engine::run_bench_command(workload, command, subject.num_threads()));
    std::fflush(stdout);
  }
}

void measure(engine::BenchReport& report, engine::Workload& workload,
             const std::vector<engine::BenchCase>& cases, int32_t repeats) {
  ProgressBar bar("measuring");
  const std::size_t total = cases.size() * static_cast<std::size_t>(repeats);
  std::size_t done = 0;
  for (const engine::BenchCase& bench_case : cases) {
    engine::BenchResult result{.bench_case = bench_case, .ms = {}, .encode_ms = {}};
    workload.run(bench_case);
    for (int32_t i = 0; i < repeats; ++i) {
      result.add(workload.run(bench_case));
      bar.update(++done, total);
    }
    report.results.push_back(std::move(result));
  }
}

}  // namespace

int bench_command(const Arguments& arguments) {
  if (!arguments.empty() && arguments.front() == "serve") {
    return bench_serve_command({arguments.begin() + 1, arguments.end()});
  }
  BenchOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  require_backend(options.runtime);
  Subject subject(options);
  const auto cases = choose_cases(options, subject.model().config.has_vision);
  Context ctx = subject.context();
  engine::Workload workload(ctx, subject.model(),
                            engine::choose_kv_dtype(subject.model(), options.kv), cases);
  engine::BenchReport& report = subject.report;
  report.checks = engine::check_workload(workload, subject.is_native());
  if (options.cases == "-") {
    answer_commands(subject, workload);
    return 0;
  }
  measure(report, workload, cases, options.repeats);
  report.memory = memory_use();
  fmt::print("{}", options.json ? engine::bench_json(report) + "\n" : engine::bench_table(report));
  return 0;
}

}  // namespace llava::app
