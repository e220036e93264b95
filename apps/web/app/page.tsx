import { Home } from '@/home/home';

export default function Page() {
  return <Home />;
}
