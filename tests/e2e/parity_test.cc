// SPDX-License-Identifier: Apache-2.0
//
// `llava parity`: what it says about right, wrong and malformed bundles. That the program's numbers
// are right is for the golden tests, which run it on every bundle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "checkpoint_copy.h"
#include "program.h"

namespace llava::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Strings = std::vector<std::string>;

class Parity : public TemporaryFolder {
 protected:
  // A bundle of llava-v1.5-pad whose header and bytes a test may change.
  struct Bundle : SafetensorsParts {
    float& value(const std::string& tensor, std::size_t index) {
      const auto offset = header.at(tensor).at("data_offsets").at(0).get<std::size_t>();
      return *reinterpret_cast<float*>(data.data() + offset + index * sizeof(float));
    }
    int64_t& id(const std::string& tensor, std::size_t index) {
      const auto offset = header.at(tensor).at("data_offsets").at(0).get<std::size_t>();
      return *reinterpret_cast<int64_t*>(data.data() + offset + index * sizeof(int64_t));
    }
    Json& metadata() { return header["__metadata__"]; }
  };

  static Bundle read_bundle(const std::string& name = "landscape",
                            const std::string& image = "landscape_96x64.jpg") {
    Bundle bundle{SafetensorsParts::of(read_text(golden_bundle("llava-v1.5-pad/" + name)))};
    bundle.metadata()["images"] = Json::array({golden_image(image)}).dump();
    return bundle;
  }

  std::string write_bundle(const Bundle& bundle, const std::string& name = "bundle.safetensors") {
    return write(name, bundle.file()).string();
  }

  static Strings arguments(const std::string& reference) {
    return {"parity",      "--model-path", golden_model("llava-v1.5-pad"),
            "--reference", reference,      "--json"};
  }

  // Names of the rows that differ.
  static Strings differing(const Json& report) {
    Strings names;
    for (const Json& row : report.at("bundles").at(0).at("rows")) {
      if (row.at("verdict") == "DIFFERS") names.push_back(row.at("name").get<std::string>());
    }
    return names;
  }
};

TEST_F(Parity, JsonNamesEveryTensor) {
  const Json report = json_of(run_llava(arguments(golden_bundle("llava-v1.5-pad/landscape"))));
  EXPECT_EQ(report.at("passed"), 1);
  EXPECT_EQ(report.at("failed"), 0);
  const Json& bundle = report.at("bundles").at(0);
  EXPECT_EQ(bundle.at("passed"), true);
  Strings names;
  for (const Json& row : bundle.at("rows")) {
    names.push_back(row.at("name").get<std::string>());
    EXPECT_TRUE(row.at("shape").is_array());
    EXPECT_TRUE(row.at("verdict").is_string());
  }
  for (const char* name : {"input_ids", "pixel_values", "vision_hidden.0", "image_features",
                           "inputs_embeds", "hidden.1", "logits", "generated_ids"}) {
    EXPECT_THAT(names, ::testing::Contains(name));
  }
}

TEST_F(Parity, AFolderRunsEveryBundle) {
  const std::string folder =
      std::filesystem::path(golden_bundle("llava-v1.5-pad/landscape")).parent_path().string();
  Strings text = arguments(folder);
  text.pop_back();
  const ProcessResult result = run_llava(text);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, ::testing::EndsWith("passed, 0 failed\n"));
}

TEST_F(Parity, AnOtherValueIsStatus5) {
  Bundle bundle = read_bundle();
  bundle.value("logits", 17) += 1.0f;
  Strings call = arguments(write_bundle(bundle));
  const ProcessResult result = run_llava(call);
  EXPECT_EQ(result.status, 5) << result.err;
  const Json report = parse_json(result.out, "report");
  EXPECT_EQ(report.at("failed"), 1);
  EXPECT_THAT(differing(report), ElementsAre("logits"));
  call.pop_back();
  const ProcessResult text = run_llava(call);
  EXPECT_EQ(text.status, 5);
  EXPECT_THAT(text.out, HasSubstr("DIFFERS"));
  EXPECT_THAT(text.out, ::testing::EndsWith("0 passed, 1 failed\n"));
}

// A wrong recorded image feature is found there; isolated, what is computed from it differs too,
// but nothing before it and nothing after the next recorded stage.
TEST_F(Parity, IsolateNamesTheWrongStage) {
  Bundle bundle = read_bundle();
  bundle.value("hidden.2", 100) += 1.0f;
  const ProcessResult result = run_llava(arguments(write_bundle(bundle)) + Strings{"--isolate"});
  EXPECT_EQ(result.status, 5);
  const Strings wrong = differing(parse_json(result.out, "report"));
  EXPECT_THAT(wrong, ::testing::Contains("hidden.2"));
  EXPECT_THAT(wrong, ::testing::Not(::testing::Contains("hidden.1")));
  EXPECT_THAT(wrong, ::testing::Not(::testing::Contains("image_features")));
}

TEST_F(Parity, IsolateDoesNotComputeWithTensorsOfAnotherShape) {
  Bundle bundle = read_bundle();
  Strings turned;
  for (auto& [name, tensor] : bundle.header.items()) {
    if (name == "__metadata__" || tensor.at("shape").size() < 2) continue;
    std::swap(tensor["shape"][0], tensor["shape"][1]);
    turned.push_back(name);
  }
  const ProcessResult result = run_llava(arguments(write_bundle(bundle)) + Strings{"--isolate"});
  EXPECT_EQ(result.status, 5) << result.err;
  EXPECT_THAT(differing(parse_json(result.out, "report")),
              ::testing::UnorderedElementsAreArray(turned));
}

TEST_F(Parity, IdsBeyondTheVocabularyAreNotComputedWith) {
  for (const int64_t id : {int64_t{-7}, int64_t{100000}, int64_t{1} << 40}) {
    Bundle labels = read_bundle("loss", "square_28x28.png");
    labels.id("labels", 79) = id;
    Bundle prompt = read_bundle();
    prompt.id("input_ids", 2) = id;
    for (const auto& [bundle, name] : {std::pair(labels, "labels"), {prompt, "input_ids"}}) {
      const ProcessResult result =
          run_llava(arguments(write_bundle(bundle)) + Strings{"--isolate"});
      const std::string message = error_of(result, 3, "bad_format");
      EXPECT_THAT(message, HasSubstr(std::to_string(id)));
      EXPECT_THAT(message, HasSubstr(name));
    }
  }
}

TEST_F(Parity, StopAtFirstEndsThere) {
  Bundle bundle = read_bundle();
  bundle.value("pixel_values", 0) += 1.0f;
  bundle.value("logits", 0) += 1.0f;
  const std::string file = write_bundle(bundle);
  write_bundle(bundle, "second.safetensors");
  const ProcessResult result = run_llava(
      arguments(std::filesystem::path(file).parent_path().string()) + Strings{"--stop-at-first"});
  EXPECT_EQ(result.status, 5);
  const Json report = parse_json(result.out, "report");
  EXPECT_EQ(report.at("bundles").size(), 1u);
  EXPECT_THAT(differing(report), ElementsAre("pixel_values"));
}

TEST_F(Parity, OtherIdsNameThePosition) {
  Bundle bundle = read_bundle();
  const auto offset = bundle.header.at("input_ids").at("data_offsets").at(0).get<std::size_t>();
  bundle.data[offset + 3 * 8] ^= 1;
  const ProcessResult result = run_llava(arguments(write_bundle(bundle)));
  EXPECT_EQ(result.status, 5);
  const Json report = parse_json(result.out, "report");
  EXPECT_THAT(differing(report), ::testing::Contains("input_ids"));
  EXPECT_THAT(result.out, HasSubstr("position 3"));
}

TEST_F(Parity, AnotherDtypeIsMeasuredNotJudged) {
  Bundle bundle = read_bundle();
  bundle.value("logits", 17) += 100.0f;
  const Json report =
      json_of(run_llava(arguments(write_bundle(bundle)) + Strings{"--dtype", "bfloat16"}));
  EXPECT_EQ(report.at("passed"), 1);
  for (const Json& row : report.at("bundles").at(0).at("rows")) {
    const auto name = row.at("name").get<std::string>();
    const bool is_judged = name == "pixel_values" || name == "input_ids" || name == "prompt";
    EXPECT_EQ(row.at("verdict"), is_judged ? "ok" : "measured") << name;
  }
}

TEST_F(Parity, MalformedBundlesAreStatus3) {
  struct Case {
    const char* name;
    std::function<void(Bundle&)> damage;
    const char* message;
  };
  const std::vector<Case> cases{
      {"format", [](Bundle& b) { b.metadata()["format"] = "llava-reference/9"; },
       "llava-reference/9"},
      {"no_format", [](Bundle& b) { b.metadata().erase("format"); }, "llava-reference/1"},
      {"dtype", [](Bundle& b) { b.metadata()["dtype"] = "int4"; }, "int4"},
      {"aspect", [](Bundle& b) { b.metadata()["image_aspect_ratio"] = "round"; }, "round"},
      {"images", [](Bundle& b) { b.metadata()["images"] = "{not json"; }, "images"},
      {"missing_image", [](Bundle& b) { b.metadata()["images"] = "[\"nowhere.png\"]"; },
       "nowhere.png"},
      {"messages", [](Bundle& b) { b.metadata()["messages"] = "[1]"; }, "messages"},
      {"conv_mode", [](Bundle& b) { b.metadata()["conv_mode"] = "vicuna_v9"; }, "vicuna_v9"},
      {"max_new_tokens", [](Bundle& b) { b.metadata()["max_new_tokens"] = "many"; },
       "max_new_tokens"},
      {"margins", [](Bundle& b) { b.metadata()["margins"] = "\"wide\""; }, "margins"},
      {"ids_dtype", [](Bundle& b) { b.header["input_ids"]["dtype"] = "F64"; }, "input_ids"},
      {"shape",
       [](Bundle& b) {
         b.header["logits"]["shape"] = Json::array({448, 2, 1});
       },
       "logits"},
      {"truncated", [](Bundle& b) { b.data.resize(b.data.size() / 2); }, "bundle"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Bundle bundle = read_bundle();
    c.damage(bundle);
    const ProcessResult result = run_llava(arguments(write_bundle(bundle)));
    EXPECT_EQ(result.status, 3) << result.out << result.err;
    EXPECT_THAT(result.err, HasSubstr(c.message));
  }
}

TEST_F(Parity, NoBundleAtAllIsStatus3) {
  EXPECT_THAT(error_of(run_llava(arguments(folder_.string())), 3, "not_found"),
              HasSubstr(folder_.string()));
  EXPECT_EQ(run_llava(arguments((folder_ / "none").string())).status, 3);
  EXPECT_EQ(run_llava(arguments(write("empty.safetensors", "").string())).status, 3);
}

}  // namespace
}  // namespace llava::testing
