// SPDX-License-Identifier: Apache-2.0
//
// What ops.h refuses before a backend sees it. The backend here computes nothing: it counts calls.
#include "llava/tensor/ops.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>

#include "llava/core/error.h"

namespace llava {
namespace {

class CountingBackend final : public Backend {
 public:
  int num_calls = 0;

  std::string_view name() const noexcept override { return "counting"; }
  Device device() const noexcept override { return {}; }
  Tensor from_host(const Tensor& x) override { return count(x.shape(), x.dtype()); }
  Tensor to_host(const Tensor& x) override { return count(x.shape(), x.dtype()); }
  Tensor empty(const Shape& shape, DType dtype) override { return count(shape, dtype); }
  Tensor cast(const Tensor& x, DType dtype) override { return count(x.shape(), dtype); }
  Tensor embedding(const Tensor& table_VD, std::span<const int32_t> ids, DType dtype) override {
    return count({static_cast<int64_t>(ids.size()), table_VD.dim(1)}, dtype);
  }
  Tensor linear(const Tensor& x_TI, const Tensor& weight_OI, const Tensor&) override {
    EXPECT_EQ(x_TI.rank(), 2);
    return count({x_TI.dim(0), weight_OI.dim(0)}, x_TI.dtype());
  }
  Tensor patch_embed(const Tensor& pixels_ICHW, const Tensor&, const Tensor&) override {
    return count({1}, pixels_ICHW.dtype());
  }
  Tensor add_scaled(const Tensor& x, const Tensor&, float) override {
    return count(x.shape(), x.dtype());
  }
  Tensor activation(const Tensor& x, Activation) override { return count(x.shape(), x.dtype()); }
  Tensor silu_mul(const Tensor& gate, const Tensor&) override {
    return count(gate.shape(), gate.dtype());
  }
  Tensor rms_norm(const Tensor& x, const Tensor&, float) override {
    return count(x.shape(), x.dtype());
  }
  Tensor layer_norm(const Tensor& x, const Tensor&, const Tensor&, float) override {
    return count(x.shape(), x.dtype());
  }
  Tensor rope(const Tensor& x_THE, const Tensor&, const Tensor&) override {
    return count(x_THE.shape(), x_THE.dtype());
  }
  Tensor attention(const Tensor& q_THE, const Tensor&, const Tensor&,
                   std::span<const SequenceSlice>, const AttentionSpec&) override {
    return count(q_THE.shape(), q_THE.dtype());
  }
  void kv_write(KvLayer&, const Tensor&, const Tensor&, std::span<const SequenceSlice>) override {
    ++num_calls;
  }
  Tensor attention_cached(const Tensor& q_THE, const KvLayer&, std::span<const SequenceSlice>,
                          const AttentionSpec&) override {
    return count(q_THE.shape(), q_THE.dtype());
  }
  void write_rows(Tensor&, int64_t, const Tensor&) override { ++num_calls; }
  Tensor gather_rows(const Tensor& x, std::span<const int32_t>) override {
    return count(x.shape(), x.dtype());
  }
  Tensor scatter_rows(const Tensor& x, const Tensor&, std::span<const int32_t>) override {
    return count(x.shape(), x.dtype());
  }
  Tensor concat_rows(std::span<const Tensor> parts) override {
    return count(parts[0].shape(), parts[0].dtype());
  }
  Tensor concat_columns(std::span<const Tensor> parts) override {
    return count(parts[0].shape(), parts[0].dtype());
  }

 private:
  Tensor count(const Shape& shape, DType dtype) {
    ++num_calls;
    return Tensor::zeros(shape, dtype);
  }
};

Tensor floats(Shape shape, DType dtype = DType::kFloat32) {
  return Tensor::zeros(std::move(shape), dtype);
}

SequenceSlice slice(int32_t first, int32_t count, int32_t past = 0,
                    std::vector<int32_t> pages = {}) {
  return {.first_token = first, .num_tokens = count, .num_past = past, .pages = std::move(pages)};
}

class OpsTest : public testing::Test {
 protected:
  void expect_accepted(const std::function<void()>& call) {
    backend_.num_calls = 0;
    EXPECT_NO_THROW(call());
    EXPECT_EQ(backend_.num_calls, 1);
  }
  void expect_refused(const std::function<void()>& call) {
    backend_.num_calls = 0;
    try {
      call();
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInternal);
    }
    EXPECT_EQ(backend_.num_calls, 0);
  }

  CountingBackend backend_;
  Context ctx_{backend_};
};

constexpr DType kHalf = DType::kFloat16;

TEST_F(OpsTest, Linear) {
  expect_accepted([&] {
    EXPECT_EQ(ops::linear(ctx_, floats({2, 3, 4}), floats({5, 4}), floats({5})).shape(),
              (Shape{2, 3, 5}));
  });
  expect_refused([&] { ops::linear(ctx_, floats({2, 3}), floats({5, 4}), {}); });
  expect_refused([&] { ops::linear(ctx_, floats({2, 4}), floats({5, 4}), floats({4})); });
  expect_refused([&] { ops::linear(ctx_, floats({2, 4}), floats({5, 4}), floats({1, 5})); });
  expect_refused([&] { ops::linear(ctx_, floats({2, 4}), floats({5, 4}, kHalf), {}); });
  expect_refused([&] { ops::linear(ctx_, floats({2, 4}), floats({5, 4}), floats({5}, kHalf)); });
  expect_refused([&] { ops::linear(ctx_, floats({2, 4}), floats({5, 2, 2}), {}); });
  expect_refused([&] { ops::linear(ctx_, floats({}), floats({5, 4}), {}); });
  expect_refused([&] { ops::linear(ctx_, Tensor(), floats({5, 4}), {}); });
}

TEST_F(OpsTest, LinearAllChecksEachWeight) {
  const Tensor x = floats({2, 4});
  const Tensor fits = floats({5, 4});
  const Tensor too_wide = floats({5, 3});
  const Tensor none;
  const std::vector<LinearWeights> good = {{fits, none}, {fits, none}};
  const std::vector<LinearWeights> bad = {{fits, none}, {too_wide, none}};
  std::vector<Tensor> results(2);
  ops::linear_all(ctx_, x, good, results);
  EXPECT_EQ(results[1].shape(), (Shape{2, 5}));
  expect_refused([&] { ops::linear_all(ctx_, x, bad, results); });
  expect_refused([&] { ops::linear_all(ctx_, x, good, std::span(results).first(1)); });
}

TEST_F(OpsTest, PatchEmbed) {
  const Tensor weight = floats({8, 3, 4, 4});
  expect_accepted([&] { ops::patch_embed(ctx_, floats({2, 3, 9, 9}), weight, floats({8})); });
  expect_refused([&] { ops::patch_embed(ctx_, floats({2, 1, 9, 9}), weight, {}); });
  expect_refused([&] { ops::patch_embed(ctx_, floats({2, 3, 3, 9}), weight, {}); });
  expect_refused([&] { ops::patch_embed(ctx_, floats({2, 3, 9, 9}), floats({8, 3, 4, 3}), {}); });
  expect_refused([&] { ops::patch_embed(ctx_, floats({2, 3, 9, 9}), weight, floats({4})); });
  expect_refused([&] { ops::patch_embed(ctx_, floats({2, 3, 9, 9}), floats({8, 3, 0, 0}), {}); });
}

TEST_F(OpsTest, Elementwise) {
  expect_accepted([&] { ops::add(ctx_, floats({2, 3}), floats({2, 3})); });
  expect_refused([&] { ops::add(ctx_, floats({2, 3}), floats({3})); });
  expect_refused([&] { ops::add_scaled(ctx_, floats({2}), floats({2}, kHalf), 0.5f); });
  expect_refused([&] { ops::silu_mul(ctx_, floats({2}), floats({3})); });
  expect_refused(
      [&] { ops::activation(ctx_, Tensor::zeros({2}, DType::kInt32), Activation::kSilu); });
  expect_refused([&] { ops::cast(ctx_, floats({2}), DType::kFloat64); });
  // Nothing to do: the tensor itself.
  const Tensor x = floats({2});
  EXPECT_EQ(ops::cast(ctx_, x, DType::kFloat32).storage(), x.storage());
}

TEST_F(OpsTest, Norms) {
  expect_accepted([&] { ops::rms_norm(ctx_, floats({2, 3, 4}), floats({4}), 1e-5f); });
  expect_refused([&] { ops::rms_norm(ctx_, floats({2, 4}), floats({2}), 1e-5f); });
  expect_refused([&] { ops::rms_norm(ctx_, floats({2, 4}), floats({4}, kHalf), 1e-5f); });
  expect_refused([&] { ops::layer_norm(ctx_, floats({2, 4}), floats({4}), floats({3}), 1e-5f); });
}

TEST_F(OpsTest, Rope) {
  const Tensor x = floats({5, 2, 8});
  expect_accepted([&] { ops::rope(ctx_, x, floats({5, 8}), floats({5, 8})); });
  expect_refused([&] { ops::rope(ctx_, x, floats({5, 4}), floats({5, 4})); });
  expect_refused([&] { ops::rope(ctx_, x, floats({4, 8}), floats({4, 8})); });
  expect_refused([&] { ops::rope(ctx_, x, floats({5, 8}), floats({5, 8}, kHalf)); });
  expect_refused([&] { ops::rope(ctx_, floats({5, 2, 7}), floats({5, 7}), floats({5, 7})); });
}

TEST_F(OpsTest, AttentionNeedsSequencesThatCoverTheRows) {
  const Tensor q = floats({5, 4, 8});
  const Tensor k = floats({5, 2, 8});
  const auto run = [&](const Tensor& query, const Tensor& key, std::vector<SequenceSlice> list) {
    ops::attention(ctx_, query, key, key, list, {});
  };
  expect_accepted([&] { run(q, k, {slice(0, 2), slice(2, 3)}); });
  expect_accepted([&] { run(q, k, {slice(0, 5), slice(5, 0)}); });
  expect_refused([&] { run(q, k, {slice(0, 2), slice(2, 2)}); });
  expect_refused([&] { run(q, k, {slice(0, 2), slice(3, 2)}); });
  expect_refused([&] { run(q, k, {slice(0, 6)}); });
  expect_refused([&] { run(q, k, {slice(0, 7), slice(7, -2)}); });
  expect_refused([&] { run(q, k, {slice(0, 5, 1)}); });
  expect_refused([&] { run(q, floats({5, 3, 8}), {slice(0, 5)}); });
  expect_refused([&] { run(q, floats({5, 0, 8}), {slice(0, 5)}); });
  expect_refused([&] { run(q, floats({5, 2, 4}), {slice(0, 5)}); });
  expect_refused([&] { run(q, floats({4, 2, 8}), {slice(0, 5)}); });
  expect_refused([&] { run(q, floats({5, 2, 8}, kHalf), {slice(0, 5)}); });
}

TEST_F(OpsTest, CacheNeedsPagesForEveryToken) {
  KvLayer layer{floats({3, 4, 2, 8}), floats({3, 4, 2, 8})};
  const Tensor q = floats({2, 4, 8});
  const Tensor k = floats({2, 2, 8});
  const auto write = [&](const Tensor& key, std::vector<SequenceSlice> list) {
    ops::kv_write(ctx_, layer, key, key, list);
  };
  const auto attend = [&](const Tensor& query, std::vector<SequenceSlice> list) {
    ops::attention_cached(ctx_, query, layer, list, {});
  };
  expect_accepted([&] { write(k, {slice(0, 2, 6, {2, 0})}); });
  expect_accepted([&] { attend(q, {slice(0, 2, 6, {2, 0})}); });
  for (const SequenceSlice& bad :
       {slice(0, 2, 7, {2, 0}), slice(0, 2, 0), slice(0, 2, 0, {3}), slice(0, 2, 0, {-1}),
        slice(0, 2, INT32_MAX, {0}), slice(0, 2, -1, {0})}) {
    expect_refused([&] { write(k, {bad}); });
    expect_refused([&] { attend(q, {bad}); });
  }
  expect_refused([&] { write(floats({2, 2, 4}), {slice(0, 2, 0, {0})}); });
  // Pages have a dtype of their own; int8 ones are nothing without their scales.
  expect_accepted([&] { write(floats({2, 2, 8}, kHalf), {slice(0, 2, 0, {0})}); });
  KvLayer no_scales{Tensor::zeros({3, 4, 2, 8}, DType::kInt8),
                    Tensor::zeros({3, 4, 2, 8}, DType::kInt8)};
  const std::array here{slice(0, 2, 0, {0})};
  expect_refused([&] { ops::kv_write(ctx_, no_scales, k, k, here); });
  expect_refused([&] { ops::attention_cached(ctx_, q, no_scales, here, {}); });
  expect_refused([&] { write(Tensor::zeros({2, 2, 8}, DType::kInt8), {slice(0, 2, 0, {0})}); });
  expect_refused([&] { attend(floats({2, 3, 8}), {slice(0, 2, 0, {0})}); });
  KvLayer no_heads{floats({3, 4, 0, 8}), floats({3, 4, 0, 8})};
  expect_refused(
      [&] { ops::attention_cached(ctx_, q, no_heads, std::array{slice(0, 2, 0, {0})}, {}); });
  layer.value_pages = floats({2, 4, 2, 8});
  expect_refused([&] { write(k, {slice(0, 2, 0, {0})}); });
}

TEST_F(OpsTest, PagesHaveADtypeOfTheirOwnAndInt8OnesScales) {
  const Tensor q = floats({2, 4, 8});
  const Tensor k = floats({2, 2, 8});
  const std::array list{slice(0, 2, 6, {2, 0})};
  const auto use = [&](const KvLayer& layer) {
    KvLayer written = layer;
    ops::kv_write(ctx_, written, k, k, list);
    ops::attention_cached(ctx_, q, layer, list, {});
  };
  const auto expect_refused_use = [&](const KvLayer& layer) {
    expect_refused([&] {
      KvLayer written = layer;
      ops::kv_write(ctx_, written, k, k, list);
    });
    expect_refused([&] { ops::attention_cached(ctx_, q, layer, list, {}); });
  };
  const Tensor halves = floats({3, 4, 2, 8}, kHalf);
  const Tensor codes = Tensor::zeros({3, 4, 2, 8}, DType::kInt8);
  const Tensor scales = floats({3, 4, 2});
  backend_.num_calls = 0;
  use({halves, halves});
  use({codes, codes, scales, scales});
  EXPECT_EQ(backend_.num_calls, 4);
  expect_refused_use({codes, codes});
  expect_refused_use({codes, codes, scales});
  expect_refused_use({codes, codes, scales, floats({3, 4, 1})});
  expect_refused_use({codes, codes, scales, floats({3, 4, 2}, kHalf)});
  expect_refused_use({halves, halves, scales, scales});
  expect_refused_use({codes, halves, scales, scales});
}

TEST_F(OpsTest, RowsStayInside) {
  const Tensor x = floats({4, 3});
  const std::array<int32_t, 2> good{3, 0};
  const std::array<int32_t, 2> beyond{0, 4};
  const std::array<int32_t, 2> negative{-1, 0};
  expect_accepted([&] { ops::gather_rows(ctx_, x, good); });
  expect_accepted([&] { ops::embedding(ctx_, x, good, DType::kFloat32); });
  expect_accepted([&] { ops::scatter_rows(ctx_, x, floats({2, 3}), good); });
  for (const auto& rows : {beyond, negative}) {
    expect_refused([&] { ops::gather_rows(ctx_, x, rows); });
    expect_refused([&] { ops::embedding(ctx_, x, rows, DType::kFloat32); });
    expect_refused([&] { ops::scatter_rows(ctx_, x, floats({2, 3}), rows); });
  }
  expect_refused([&] { ops::scatter_rows(ctx_, x, floats({1, 3}), good); });
  expect_refused([&] { ops::scatter_rows(ctx_, x, floats({2, 4}), good); });
  expect_refused([&] { ops::embedding(ctx_, floats({4}), good, DType::kFloat32); });
}

TEST_F(OpsTest, WeightsAndTablesMayBePacked) {
  const Tensor packed = Tensor::zeros({4, 3}, DType::kPackedQ4);
  const Tensor half = Tensor::zeros({2, 3}, DType::kFloat16);
  const std::array<int32_t, 2> ids{3, 0};
  expect_accepted([&] { ops::linear(ctx_, floats({2, 3}), packed, floats({4})); });
  expect_accepted([&] { ops::linear(ctx_, half, packed, {}); });
  EXPECT_EQ(ops::linear(ctx_, half, packed, {}).dtype(), DType::kFloat16);
  expect_refused([&] { ops::linear(ctx_, half, packed, floats({4})); });
  expect_refused([&] { ops::linear(ctx_, floats({2, 4}), packed, {}); });
  expect_refused([&] { ops::linear(ctx_, packed, floats({4, 3}), {}); });
  expect_accepted([&] { ops::embedding(ctx_, packed, ids, DType::kFloat16); });
  EXPECT_EQ(ops::embedding(ctx_, half, {}, DType::kFloat32).dtype(), DType::kFloat32);
  expect_refused([&] { ops::embedding(ctx_, packed, ids, DType::kPackedQ4); });
  expect_refused([&] { ops::rms_norm(ctx_, floats({2, 3}), packed, 1e-5f); });
}

TEST_F(OpsTest, ConcatenatedPartsAgree) {
  const auto rows = [&](std::vector<Tensor> parts) { ops::concat_rows(ctx_, parts); };
  const auto columns = [&](std::vector<Tensor> parts) { ops::concat_columns(ctx_, parts); };
  expect_accepted([&] { rows({floats({1, 3}), floats({4, 3})}); });
  expect_accepted([&] { columns({floats({4, 1}), floats({4, 3})}); });
  expect_refused([&] { rows({}); });
  expect_refused([&] { columns({}); });
  expect_refused([&] { rows({floats({1, 3}), floats({1, 4})}); });
  expect_refused([&] { columns({floats({1, 3}), floats({2, 3})}); });
  expect_refused([&] { rows({floats({1, 3}), floats({3})}); });
  expect_refused([&] { rows({floats({1, 3}), floats({1, 3}, kHalf)}); });
  // One part is itself.
  const std::array<Tensor, 1> one{floats({2, 2})};
  EXPECT_EQ(ops::concat_rows(ctx_, one).storage(), one[0].storage());
}

}  // namespace
}  // namespace llava
