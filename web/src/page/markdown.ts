// SPDX-License-Identifier: Apache-2.0
//
// What a model writes, shown as Markdown. It is text of a stranger: HTML in it is shown as it is
// written, and of what Markdown makes only the listed elements are left.
import DOMPurify from 'dompurify';
import { Marked } from 'marked';
import { copyButton } from './dom';

const ALLOWED_TAGS = [
  'a', 'blockquote', 'br', 'code', 'del', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li', 'ol', 'p', 'pre',
  'strong', 'sub', 'sup', 'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul',
];

function escaped(text: string): string {
  const element = document.createElement('p');
  element.textContent = text;
  return element.innerHTML;
}

const markdown = new Marked({
  gfm: true,
  renderer: {
    html({ text, block }) {
      // The one element that tables cannot do without.
      if (/^<br\s*\/?>$/i.test(text.trim())) return '<br>';
      return block ? `<p>${escaped(text)}</p>` : escaped(text);
    },
  },
});

/// The text as elements; links open elsewhere and tell nothing of where they come from. With
/// `breaks`, as models mean them, ends of lines are kept.
export function renderMarkdown(text: string, { breaks } = { breaks: true }): DocumentFragment {
  const html = markdown.parse(text, { async: false, breaks });
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS,
    ALLOWED_ATTR: ['href', 'start'],
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of fragment.querySelectorAll('a')) {
    link.target = '_blank';
    link.rel = 'noopener noreferrer nofollow';
  }
  // An answer's headings are below the page's own.
  for (const heading of fragment.querySelectorAll('h1, h2')) {
    const lower = document.createElement('h3');
    lower.append(...heading.childNodes);
    heading.replaceWith(lower);
  }
  for (const block of fragment.querySelectorAll('pre')) {
    block.tabIndex = 0;
    const frame = document.createElement('div');
    frame.className = 'code';
    block.replaceWith(frame);
    frame.append(copyButton('Copy code', () => block.textContent ?? ''), block);
  }
  return fragment;
}
