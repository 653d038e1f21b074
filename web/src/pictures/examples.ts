// SPDX-License-Identifier: Apache-2.0
//
// The examples: pictures of our own, drawn when the page opens, of a kind that the bundled model knows.

export interface Example {
  name: string;
  question: string;
  picture: Blob;
}

const SIDE = 64;

type Draw = (context: CanvasRenderingContext2D) => void;

const triangle: Draw = (context) => {
  context.moveTo(30, 14);
  context.lineTo(50, 46);
  context.lineTo(12, 44);
};
const circle: Draw = (context) => context.arc(36, 30, 15, 0, 2 * Math.PI);

const EXAMPLES: { name: string; question: string; background: string; color: string; shape: Draw }[] = [
  { name: 'triangle.png', question: 'what color is the triangle?', background: '#dff0e4', color: '#ff0000', shape: triangle },
  { name: 'circle.png', question: 'what shape is in the image?', background: '#e6e4f4', color: '#0000ff', shape: circle },
];

export function drawExamples(): Promise<Example[]> {
  return Promise.all(
    EXAMPLES.map(async ({ name, question, background, color, shape }) => {
      const canvas = document.createElement('canvas');
      canvas.width = canvas.height = SIDE;
      const context = canvas.getContext('2d')!;
      context.fillStyle = background;
      context.fillRect(0, 0, SIDE, SIDE);
      context.fillStyle = color;
      context.beginPath();
      shape(context);
      context.fill();
      const picture = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve));
      return { name, question, picture: picture! };
    }),
  );
}
