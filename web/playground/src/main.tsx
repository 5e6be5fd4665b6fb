import 'graphiql/setup-workers/vite';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import 'graphiql/style.css';
import { App } from './App';
import { Session } from './session';
import './style.css';

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <App session={new Session()} />
  </StrictMode>,
);
