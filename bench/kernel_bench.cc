// SPDX-License-Identifier: Apache-2.0
//
// Times the native backend's operations on the shapes of LLaVA-1.5-7B, one thread per core unless
// LLAVA_THREADS says otherwise. torch_ops.py times the same cases with LibTorch. Every case checks
// a part of its result against the scalar kernels before it is timed.
//
// Matrices that a model reads once per token are taken in turn from a set larger than the caches.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "llava/backend/native/native_backend.h"
#include "llava/core/random.h"
#include "llava/core/thread_pool.h"
#include "llava/kernels/dispatch.h"
#include "llava/tensor/ops.h"
#include "llava/tensor/packed.h"

namespace {

using llava::AttentionSpec;
using llava::DType;
using llava::KvLayer;
using llava::SequenceSlice;
using llava::Shape;
using llava::Tensor;
namespace ops = llava::ops;

constexpr int64_t kColdBytes = int64_t{192} << 20;

llava::ThreadPool& pool() {
  static llava::ThreadPool threads;
  return threads;
}

llava::Context& context() {
  static llava::native::NativeBackend backend(pool());
  static llava::Context ctx{backend};
  return ctx;
}

Tensor random_tensor(Shape shape, DType dtype) {
  static llava::Generator generator(1);
  Tensor x = Tensor::empty(std::move(shape), DType::kFloat32);
  for (float& value : x.mutable_data<float>()) {
    value = static_cast<float>(generator() >> 40) * 0x1.0p-23f - 1.0f;
  }
  return ops::cast(context(), x, dtype);
}

/// The largest difference of two results, relative to the largest element.
double difference(const Tensor& a, const Tensor& b) {
  const Tensor x = llava::host_to_float32(a);
  const Tensor y = llava::host_to_float32(b);
  double most = 0;
  double scale = 1e-30;
  for (std::size_t i = 0; i < x.data<float>().size(); ++i) {
    most = std::max(most, std::fabs(double{x.data<float>()[i]} - double{y.data<float>()[i]}));
    scale = std::max(scale, std::fabs(double{y.data<float>()[i]}));
  }
  return most / scale;
}

/// Runs `small` on the active and on the scalar kernels; false stops the benchmark.
bool is_right(benchmark::State& state, DType dtype, const std::function<Tensor()>& small) {
  const Tensor result = small();
  const llava::kernels::ScopedKernels scalar("scalar");
  const double error = difference(result, small());
  const double bound = dtype == DType::kFloat32 ? 1e-4 : dtype == DType::kFloat16 ? 4e-3 : 3e-2;
  if (error <= bound) return true;
  state.SkipWithError(("result differs by " + std::to_string(error)).c_str());
  return false;
}

void time_operation(benchmark::State& state, const std::function<void()>& operation) {
  // The first results fault their pages in; later ones get the same memory again.
  for (int i = 0; i < 4; ++i) operation();
  for (auto _ : state) operation();
}

void bench_linear(benchmark::State& state, DType dtype, int64_t outputs, int64_t inputs,
                  int64_t rows) {
  llava::Context& ctx = context();
  const Tensor x = random_tensor({rows, inputs}, dtype);
  std::vector<Tensor> weights{random_tensor({outputs, inputs}, dtype)};
  while (rows < 64 && static_cast<int64_t>(weights.size()) * weights[0].num_bytes() < kColdBytes) {
    Tensor copy = Tensor::empty({outputs, inputs}, dtype);
    std::ranges::copy(weights[0].bytes(), copy.mutable_bytes().begin());
    weights.push_back(copy);
  }
  const bool is_ok = is_right(state, dtype, [&] {
    return ops::linear(ctx, x.rows(0, std::min<int64_t>(rows, 7)), weights[0].rows(0, 9), {});
  });
  if (!is_ok) return;
  std::size_t next = 0;
  time_operation(state, [&] {
    benchmark::DoNotOptimize(ops::linear(ctx, x, weights[next++ % weights.size()], {}));
  });
  const auto products = static_cast<double>(rows) * static_cast<double>(outputs * inputs);
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * products, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["GB/s"] = benchmark::Counter(1e-9 * static_cast<double>(weights[0].num_bytes()),
                                              benchmark::Counter::kIsIterationInvariantRate);
}

/// Bytes a second that all threads together read from memory, each in four forward streams: the
/// best of some passes over more than the caches hold.
double read_bytes_per_second() {
  static const double best = [] {
    constexpr int64_t kWords = 2 * kColdBytes / 8;
    constexpr int64_t kParts = 64;
    constexpr int64_t kStream = kWords / kParts / 4;
    const std::vector<uint64_t> words(kWords, 1);
    std::array<uint64_t, kParts> sums{};
    double rate = 0;
    for (int pass = 0; pass < 20; ++pass) {
      const auto begin = std::chrono::steady_clock::now();
      pool().run(kParts, [&](int64_t part) {
        const uint64_t* p = words.data() + part * 4 * kStream;
        std::array<uint64_t, 16> sum{};
        for (int64_t i = 0; i < kStream; i += 4) {
          for (int64_t k = 0; k < 16; ++k) {
            sum[static_cast<std::size_t>(k)] += p[k / 4 * kStream + i + k % 4];
          }
        }
        for (const uint64_t value : sum) sums[static_cast<std::size_t>(part)] += value;
      });
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
      rate = std::max(rate, 8.0 * static_cast<double>(kWords) / time.count());
    }
    benchmark::DoNotOptimize(sums);
    return rate;
  }();
  return best;
}

/// A matrix of random codes, its scales near 2^-8.
Tensor random_packed(Shape shape, DType dtype) {
  static llava::Generator generator(2);
  Tensor matrix = Tensor::zeros(shape, dtype);
  const llava::PackedLayout layout(dtype, shape);
  for (int64_t output = 0; output < layout.num_outputs(); ++output) {
    for (int64_t group = 0; group < layout.num_groups(); ++group) {
      llava::PackedGroup value{};
      for (std::size_t i = 0; i < value.codes.size(); i += 8) {
        const uint64_t bits = generator();
        for (std::size_t k = 0; k < 8; ++k) {
          const auto code = static_cast<uint8_t>(bits >> 8 * k);
          value.codes[i + k] = llava::packed_code_bits(dtype) == 4 ? code & 15 : code;
        }
      }
      for (uint16_t& scale : value.scales)
        scale = static_cast<uint16_t>(0x1C00 | generator() >> 54);
      value.minimum = 0x9C00;
      layout.write(matrix.mutable_bytes().data(), output, group, value);
    }
  }
  return matrix;
}

/// The product of 8-bit activations with a packed matrix, whose result must be that of the scalar
/// kernels to the last bit.
void bench_packed_linear(benchmark::State& state, DType dtype, int64_t outputs, int64_t inputs,
                         int64_t rows) {
  llava::Context& ctx = context();
  const Tensor x = random_tensor({rows, inputs}, DType::kFloat32);
  std::vector<Tensor> weights{random_packed({outputs, inputs}, dtype)};
  while (rows < 64 && static_cast<int64_t>(weights.size()) * weights[0].num_bytes() < kColdBytes) {
    Tensor copy = Tensor::empty({outputs, inputs}, dtype);
    std::ranges::copy(weights[0].bytes(), copy.mutable_bytes().begin());
    weights.push_back(copy);
  }
  const Tensor few_outputs = random_packed({25, inputs}, dtype);
  const auto small = [&] {
    return ops::linear(ctx, x.rows(0, std::min<int64_t>(rows, 11)), few_outputs, {});
  };
  const Tensor got = small();
  {
    const llava::kernels::ScopedKernels scalar("scalar");
    if (!std::ranges::equal(got.bytes(), small().bytes())) {
      state.SkipWithError("result is not that of the scalar kernels");
      return;
    }
  }
  std::size_t next = 0;
  time_operation(state, [&] {
    benchmark::DoNotOptimize(ops::linear(ctx, x, weights[next++ % weights.size()], {}));
  });
  const auto rate = [](double amount) {
    return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
  };
  const auto bytes = static_cast<double>(weights[0].num_bytes());
  const auto products = static_cast<double>(rows) * static_cast<double>(outputs * inputs);
  state.counters["GOP/s"] = rate(2e-9 * products);
  state.counters["GB/s"] = rate(1e-9 * bytes);
  state.counters["of_read"] = rate(bytes / read_bytes_per_second());
}

void bench_attention(benchmark::State& state, DType dtype, int32_t tokens, int64_t heads,
                     int64_t width, bool is_causal) {
  llava::Context& ctx = context();
  const AttentionSpec spec{1.0f / std::sqrt(static_cast<float>(width)), is_causal, 0};
  const std::array<SequenceSlice, 1> slices{
      SequenceSlice{.first_token = 0, .num_tokens = tokens, .num_past = 0, .pages = {}}};
  const auto run = [&](int64_t num_heads) {
    const Tensor q = random_tensor({tokens, num_heads, width}, dtype);
    const Tensor k = random_tensor({tokens, num_heads, width}, dtype);
    return [&ctx, q, k, spec, slices] { return ops::attention(ctx, q, k, k, slices, spec); };
  };
  if (!is_right(state, dtype, run(1))) return;
  const auto operation = run(heads);
  time_operation(state, [&] { benchmark::DoNotOptimize(operation()); });
}

void bench_decode(benchmark::State& state, DType dtype, int32_t past, int64_t heads,
                  int64_t width) {
  llava::Context& ctx = context();
  const AttentionSpec spec{1.0f / std::sqrt(static_cast<float>(width)), true, 0};
  constexpr int32_t kPageSize = 16;
  const auto run = [&](int64_t num_heads, int64_t num_layers) {
    SequenceSlice slice{.first_token = 0, .num_tokens = 1, .num_past = past, .pages = {}};
    for (int32_t page = 0; page <= past / kPageSize; ++page) slice.pages.push_back(page);
    std::vector<KvLayer> layers;
    for (int64_t i = 0; i < num_layers; ++i) {
      const Shape shape{past / kPageSize + 1, kPageSize, num_heads, width};
      layers.push_back({random_tensor(shape, dtype), random_tensor(shape, dtype)});
    }
    const Tensor q = random_tensor({1, num_heads, width}, dtype);
    return [&ctx, q, layers, slice, spec, next = std::size_t{0}]() mutable {
      return ops::attention_cached(ctx, q, layers[next++ % layers.size()], {&slice, 1}, spec);
    };
  };
  if (!is_right(state, dtype, run(1, 1))) return;
  auto operation = run(heads, 8);
  time_operation(state, [&] { benchmark::DoNotOptimize(operation()); });
}

void bench_patch_embed(benchmark::State& state, DType dtype) {
  llava::Context& ctx = context();
  const Tensor pixels = random_tensor({1, 3, 336, 336}, dtype);
  const Tensor weight = random_tensor({1024, 3, 14, 14}, dtype);
  const bool is_ok =
      is_right(state, dtype, [&] { return ops::patch_embed(ctx, pixels, weight.rows(0, 5), {}); });
  if (!is_ok) return;
  time_operation(state,
                 [&] { benchmark::DoNotOptimize(ops::patch_embed(ctx, pixels, weight, {})); });
}

/// An operation on one or two tensors of a shape; `small` rows are checked.
void bench_rows(benchmark::State& state, DType dtype, int64_t rows, int64_t width,
                const std::function<Tensor(const Tensor&, const Tensor&)>& operation) {
  const Tensor x = random_tensor({rows, width}, dtype);
  const Tensor y = random_tensor({rows, width}, dtype);
  const int64_t few = std::min<int64_t>(rows, 3);
  if (!is_right(state, dtype, [&] { return operation(x.rows(0, few), y.rows(0, few)); })) return;
  time_operation(state, [&] { benchmark::DoNotOptimize(operation(x, y)); });
}

void add_rows(const std::string& name, int64_t rows, int64_t width,
              const std::function<Tensor(const Tensor&, const Tensor&)>& operation) {
  for (const auto& [suffix, dtype] :
       {std::pair{"f32", DType::kFloat32}, std::pair{"bf16", DType::kBFloat16},
        std::pair{"f16", DType::kFloat16}}) {
    const std::string full =
        name + "/" + std::to_string(rows) + "x" + std::to_string(width) + "/" + suffix;
    benchmark::RegisterBenchmark(full.c_str(), bench_rows, dtype, rows, width, operation)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

void add_row_operations() {
  llava::Context& ctx = context();
  const auto vector_of = [](const Tensor& x) { return x.rows(0, 1).reshape({x.dim(-1)}); };
  for (const int64_t rows : {1, 616}) {
    add_rows("rms_norm", rows, 4096, [&ctx, vector_of](const Tensor& x, const Tensor& y) {
      return ops::rms_norm(ctx, x, vector_of(y), 1e-5f);
    });
  }
  add_rows("layer_norm", 577, 1024, [&ctx, vector_of](const Tensor& x, const Tensor& y) {
    return ops::layer_norm(ctx, x, vector_of(y), vector_of(y), 1e-5f);
  });
  add_rows("silu_mul", 616, 11008,
           [&ctx](const Tensor& x, const Tensor& y) { return ops::silu_mul(ctx, x, y); });
  add_rows("gelu", 576, 4096, [&ctx](const Tensor& x, const Tensor&) {
    return ops::activation(ctx, x, llava::Activation::kGelu);
  });
  add_rows("quick_gelu", 577, 4096, [&ctx](const Tensor& x, const Tensor&) {
    return ops::activation(ctx, x, llava::Activation::kQuickGelu);
  });
  add_rows("add", 616, 4096,
           [&ctx](const Tensor& x, const Tensor& y) { return ops::add(ctx, x, y); });
  add_rows("cast", 616, 4096, [&ctx](const Tensor& x, const Tensor&) {
    // To float32, or from it to bfloat16.
    return ops::cast(ctx, x, x.dtype() == DType::kFloat32 ? DType::kBFloat16 : DType::kFloat32);
  });
  add_rows("concat_columns", 576, 1024, [&ctx](const Tensor& x, const Tensor& y) {
    return ops::concat_columns(ctx, std::array<Tensor, 2>{x, y});
  });
  add_rows("rope", 616, 4096, [&ctx](const Tensor& x, const Tensor& y) {
    const int64_t rows = x.dim(0);
    const Tensor angles = y.reshape({rows * 32, 128}).rows(0, rows);
    return ops::rope(ctx, x.reshape({rows, 32, 128}), angles, angles);
  });
  add_rows("gather_rows", 616, 4096, [&ctx](const Tensor& x, const Tensor&) {
    std::vector<int32_t> rows;
    for (int64_t i = x.dim(0); i > 0; --i) rows.push_back(static_cast<int32_t>(i - 1));
    return ops::gather_rows(ctx, x, rows);
  });
}

void add_matrix_operations() {
  struct LinearShape {
    int64_t outputs;
    int64_t inputs;
    std::vector<int64_t> rows;
  };
  const std::vector<LinearShape> shapes{{4096, 4096, {1, 8, 64, 616}},
                                        {11008, 4096, {1, 8, 64, 616}},
                                        {4096, 11008, {1, 8, 64, 616}},
                                        {1024, 1024, {577}},
                                        {4096, 1024, {577}},
                                        {1024, 4096, {577}},
                                        {32000, 4096, {1}}};
  for (const auto& [suffix, dtype] :
       {std::pair{"f32", DType::kFloat32}, std::pair{"bf16", DType::kBFloat16},
        std::pair{"f16", DType::kFloat16}}) {
    for (const LinearShape& shape : shapes) {
      for (const int64_t rows : shape.rows) {
        const std::string name = "linear/" + std::to_string(shape.outputs) + "x" +
                                 std::to_string(shape.inputs) + "/rows" + std::to_string(rows) +
                                 "/" + suffix;
        benchmark::RegisterBenchmark(name.c_str(), bench_linear, dtype, shape.outputs, shape.inputs,
                                     rows)
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
    const std::string end = std::string("/") + suffix;
    benchmark::RegisterBenchmark(("patch_embed/336x14x1024" + end).c_str(), bench_patch_embed,
                                 dtype)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark(("attention/prefill616x32x128" + end).c_str(), bench_attention,
                                 dtype, 616, 32, 128, true)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark(("attention/vision577x16x64" + end).c_str(), bench_attention,
                                 dtype, 577, 16, 64, false)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark(("attention/decode700x32x128" + end).c_str(), bench_decode, dtype,
                                 700, 32, 128)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

void add_packed_operations() {
  struct LinearShape {
    int64_t outputs;
    int64_t inputs;
    std::vector<int64_t> rows;
  };
  // The shapes of LLaMA-7B, then those of SmolLM2-135M.
  const std::vector<LinearShape> shapes{
      {4096, 4096, {1, 512}},     {11008, 4096, {1, 2, 4, 8, 16, 64, 512}},
      {4096, 11008, {1, 8, 512}}, {576, 576, {1, 512}},
      {1536, 576, {1, 8, 512}},   {576, 1536, {1, 512}}};
  for (const auto& [suffix, dtype] :
       {std::pair{"q4", DType::kPackedQ4}, std::pair{"q4_min", DType::kPackedQ4Min},
        std::pair{"q8", DType::kPackedQ8}, std::pair{"q8_min", DType::kPackedQ8Min},
        std::pair{"q8_half", DType::kPackedQ8Half}}) {
    for (const LinearShape& shape : shapes) {
      for (const int64_t rows : shape.rows) {
        const std::string name = "packed_linear/" + std::to_string(shape.outputs) + "x" +
                                 std::to_string(shape.inputs) + "/rows" + std::to_string(rows) +
                                 "/" + suffix;
        benchmark::RegisterBenchmark(name.c_str(), bench_packed_linear, dtype, shape.outputs,
                                     shape.inputs, rows)
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  add_matrix_operations();
  add_packed_operations();
  add_row_operations();
  benchmark::AddCustomContext("kernels", llava::kernels::active().name);
  benchmark::AddCustomContext("cpu", llava::kernels::cpu_name());
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
