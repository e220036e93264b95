import { Notice } from '@/ui/notice';

export default function NotFound() {
  return (
    <Notice title="There is nothing here">
      The address may be mistyped, or what was here is gone. Your own pictures are on the start page.
    </Notice>
  );
}
