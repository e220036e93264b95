import { EditorPage } from '@/editor/page';

export default function Page() {
  return <EditorPage />;
}
