// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "llava/train_report/html_text.h"
#include "llava/train_report/number_text.h"

namespace llava::train_report {
namespace {

TEST(HtmlText, EscapesMarkupAndWhatIsNoText) {
  EXPECT_EQ(escape_html("<a href=\"x\">'&'"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
  EXPECT_EQ(escape_html(std::string("a\0b\x1b[1m\n\t", 9)),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD[1m\n\t");
  EXPECT_EQ(escape_html("\xff\xc3\xa9"), "\xEF\xBF\xBD\xc3\xa9");
}

TEST(NumberText, ReadsWell) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1234567), "1,234,567");
  EXPECT_EQ(bytes_text(1023), "1023 B");
  EXPECT_EQ(bytes_text(uint64_t{3} << 29), "1.5 GiB");
  EXPECT_EQ(duration_text(12.34), "12.3 s");
  EXPECT_EQ(duration_text(250), "4 min 10 s");
  EXPECT_EQ(duration_text(5000), "1 h 23 min");
  EXPECT_EQ(duration_text(std::nan("")), "none");
  EXPECT_EQ(number_text(0.831249), "0.8312");
  EXPECT_EQ(number_text(std::nan("")), "none");
  EXPECT_EQ(share_text(3, 8), "37.5 %");
  EXPECT_EQ(share_text(0, 0), "none");
}

}  // namespace
}  // namespace llava::train_report
