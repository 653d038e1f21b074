// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/weight_forms.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "llava/model/random_model.h"

namespace llava::checkpoint {
namespace {

// Every parameter of the network has a row in the table, or is meant to have none.
TEST(WeightForms, EveryLinearLayerHasAPartAndNothingElse) {
  model::LlavaConfig config = model::tiny_config();
  config.decoder.has_qkv_bias = true;
  config.has_image_newline = true;
  for (const auto type : {model::ProjectorType::kLinear, model::ProjectorType::kMlp}) {
    config.projector.type = type;
    model::LlavaModel model(config);
    std::map<WeightPart, int> count;
    model::visit(model, {.on_parameter =
                             [&](const std::string& name, model::Parameter& p) {
                               ++count[weight_part(name, p.shape, /*is_head_tied=*/false)];
                               if (name.find("norm") != std::string::npos ||
                                   name.find("embedding") != std::string::npos ||
                                   name.ends_with("bias") || name.ends_with("newline")) {
                                 EXPECT_EQ(weight_part(name, p.shape, false), WeightPart::kOther)
                                     << name;
                               }
                             },
                         .on_linear = {}});
    EXPECT_EQ(count[WeightPart::kLanguage], 2 * 7);
    EXPECT_EQ(count[WeightPart::kVision], 3 * 6);
    EXPECT_EQ(count[WeightPart::kProjector], type == model::ProjectorType::kLinear ? 1 : 2);
    EXPECT_EQ(count[WeightPart::kTable], 1);
    EXPECT_EQ(count[WeightPart::kHead], 1);
  }
}

TEST(WeightForms, ATiedTableIsTheHead) {
  const Shape shape{50, 24};
  EXPECT_EQ(weight_part("model.embed_tokens.weight", shape, true), WeightPart::kHead);
  EXPECT_EQ(weight_part("model.embed_tokens.weight", shape, false), WeightPart::kTable);
}

TEST(WeightForms, FlagsOfTheOriginal) {
  const WeightForms four = forms_of_4_bits();
  EXPECT_EQ(four.of(WeightPart::kLanguage), DType::kPackedQ4);
  EXPECT_EQ(four.of(WeightPart::kHead), DType::kPackedQ8);
  EXPECT_EQ(four.of(WeightPart::kVision), std::nullopt);
  EXPECT_EQ(four.of(WeightPart::kOther), std::nullopt);
  EXPECT_EQ(forms_of_8_bits().of(WeightPart::kLanguage), DType::kPackedQ8);
  EXPECT_TRUE(forms_of_8_bits().is_quantized());
  EXPECT_FALSE(WeightForms{}.is_quantized());
}

}  // namespace
}  // namespace llava::checkpoint
